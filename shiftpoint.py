"""shiftpoint in Python: what the commands do, as functions with typed results (docs/api.md).

What they need is loaded when one of them is first asked for: the command line begins here, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from host.api import (
        PRESETS,
        AcceleratorConfig,
        BadInput,
        Comparison,
        CompiledProgram,
        Engine,
        Explored,
        LayerDigest,
        MemoryOptions,
        QuantizedNetwork,
        ShiftpointError,
        Simulation,
        VerificationError,
        compare,
        compile,
        explore,
        quantize,
        simulate,
    )

__all__ = [
    "PRESETS",
    "AcceleratorConfig",
    "BadInput",
    "Comparison",
    "CompiledProgram",
    "Engine",
    "Explored",
    "LayerDigest",
    "MemoryOptions",
    "QuantizedNetwork",
    "ShiftpointError",
    "Simulation",
    "VerificationError",
    "compare",
    "compile",
    "explore",
    "quantize",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """One of `__all__`; raises AttributeError."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from host import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """What a user may want."""
    return list(__all__)


def main() -> int:
    """The command line (host/cli.py); its exit code."""
    from host.cli import main as run

    return run()
