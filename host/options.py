"""Options, declared once: a field of a dataclass is an option of every command that takes the dataclass.

A field's annotation holds what the command line says of it (`typer.Option` or `typer.Argument`), its default is the
option's.  `command` turns such dataclasses among a function's parameters into options, so no second list of them is
kept; `key` is made of the same fields, so no option can be forgotten where artefacts are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from inspect import Parameter, Signature, get_annotations, signature
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo, ParameterInfo

from host import outputs
from host.artefacts import file_digest
from host.compiler import KeepLayers
from host.configuration import configuration, file_of
from host.outputs import Use
from hw.board import catalogue
from hw.board.catalogue import Board
from hw.contract.config import PRESETS, AcceleratorConfig
from hw.contract.memory import MOST, Memory
from hw.contract.validator import MOST_IMAGES
from quant.base.errors import BadInput

R = TypeVar("R")

ENGINES = ", ".join(PRESETS)
"""The presets by name; docs/commands.md says what each is."""


MOST_SIZE = 1 << 24
"""The largest channel count, height or width that can be asked for."""


def shape(text: str) -> tuple[int, ...]:
    """One to three sizes, `C,H,W`, `C,W` or `C`, as integers; a usage error otherwise."""
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not 1 <= len(sizes) <= 3:
        raise typer.BadParameter(f"expected C,H,W or C,W or C, not {text!r:.80}")
    if min(sizes) < 1:
        raise typer.BadParameter(f"sizes must be at least 1, not {text!r:.80}")
    if max(sizes) > MOST_SIZE:
        raise typer.BadParameter(f"sizes can be {MOST_SIZE} at most, not {text!r:.80}")
    return sizes


FloatNetwork = Annotated[Path, Use.READ, typer.Argument(help="Trained float network, ONNX.", show_default=False)]
Calibration = Annotated[
    Path,
    Use.READ,
    typer.Option(
        help=".npz with `images` (N, C, H, W): float32 as the network takes them, or uint8 pixels; of several inputs "
        "an array for each, by name.",
        show_default=False,
    ),
]
MaybeCalibration = Annotated[
    Path | None,
    Use.READ,
    typer.Option(help=".npz with `images`, as quantize takes it; a quantized network needs none.", show_default=False),
]
RawPixels = Annotated[
    bool,
    typer.Option("--raw-pixels", help="Fold mean and scale into the network: the device takes pixels, 0 to 255."),
]
Quantized = Annotated[Path, Use.READ, typer.Argument(help="Quantized network: QDQ ONNX, power-of-two scales.")]
QuantizedOutput = Annotated[
    Path, Use.FILE, typer.Option("-o", "--output", help="Quantized network to write.", show_default=False)
]
Evaluation = Annotated[
    Path | None, Use.READ, typer.Option(help=".npz with `images` and `labels`, for accuracy.", show_default=False)
]
Configuration = Annotated[
    AcceleratorConfig,
    Use.READ,
    typer.Option(
        "--config",
        parser=configuration,
        metavar="NAME|FILE",
        show_default=False,
        help=f"Engine, small by default: {ENGINES}, or a .json file (shiftpoint config).",
    ),
]
MaybeConfiguration = Annotated[
    AcceleratorConfig | None,
    Use.READ,
    typer.Option(
        "--config",
        parser=configuration,
        metavar="NAME|FILE",
        show_default=False,
        help=f"Engine: {ENGINES}, or a .json file (shiftpoint config).",
    ),
]
InputShape = Annotated[
    tuple[int, ...] | None,
    typer.Option(
        parser=shape,
        metavar="C,H,W",
        show_default=False,
        help="Size of the input without the batch, C,H,W or C,W or C, for a file that leaves it open.",
    ),
]
BuildDir = Annotated[
    Path | None,
    Use.CACHE,
    typer.Option(
        show_default=False,
        help="Folder of built simulators, 1 GB at most: what was used longest ago goes. By default $SHIFTPOINT_CACHE, "
        "else shiftpoint in $XDG_CACHE_HOME or ~/.cache.",
    ),
]
Kept = Annotated[
    KeepLayers,
    typer.Option(
        "--keep-layers",
        help="Layers whose results are in memory after a run: all, so that each can be compared; or none but what the "
        "network returns, and memory is used again.",
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch",
        help="Images of one run: fully connected layers at the end read their weights once for all of them. Where the "
        "last run has fewer, its last image fills it.",
        min=1,
        max=MOST_IMAGES,
    ),
]
Jobs = Annotated[int | None, typer.Option(help="Processes, by default one on each core.", min=1, show_default=False)]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Address of a Dask scheduler, host:port, whose workers do the work. Needs Dask: pip install "
        "'shiftpoint\\[dask]'.",
        show_default=False,
    ),
]
Complete = Annotated[
    bool,
    typer.Option(
        "--complete",
        help="Of another tool's file: round biases to the accumulator's unit, give outputs left in float 16 bits; "
        "each change is shown.",
    ),
]


@dataclass(frozen=True)
class MemoryOptions(Memory):
    """A memory of cycle model and simulation, as options."""

    PANEL: ClassVar = "Memory"

    latency: Annotated[int, typer.Option(help="Cycles from address to first beat.", min=1, max=MOST["latency"])] = 64
    beat_every: Annotated[
        int, typer.Option(help="A beat every so many cycles, each way.", min=1, max=MOST["beat_every"])
    ] = 1
    shared: Annotated[bool, typer.Option("--shared-bus", help="Both directions share one bus, burst by burst.")] = False


def board_named(name: str) -> Board:
    """A board by name, as an option; a usage error for another one."""
    try:
        return catalogue.board(name)
    except BadInput as error:
        raise typer.BadParameter(str(error)) from None


def require_unnamed(memory: MemoryOptions, board: Board) -> None:
    """Raise BadInput where a memory is named beside a board, which has its own."""
    if memory != MemoryOptions():
        raise BadInput(f"the memory is that of {board.name}: leave out --latency, --beat-every, --shared-bus")


def one_place(jobs: int | None, scheduler: str | None) -> None:
    """Raise BadInput where both say where the work is done."""
    if jobs is not None and scheduler is not None:
        raise BadInput("the work is done by --jobs processes or by a --scheduler: leave out one of both")


def key(value: Any, kind: type | None = None) -> Any:
    """What a result depends on, as a JSON value: of a dataclass every field, of a file its name and content.

    kind: a base class of the dataclass, whose fields alone count.
    """
    if is_dataclass(value):
        return {field.name: key(getattr(value, field.name)) for field in fields(kind or type(value))}
    if isinstance(value, Path):
        return [value.name, file_digest(value)]
    if isinstance(value, dict):
        return {name: key(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [key(item) for item in value]
    return value


def given(kind: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a dataclass' options, where no command line was read: a text for a path or for what an option's parser
    makes becomes that, and what is outside an option's bounds or no choice of it is refused.  Raises BadInput.
    """
    hints = get_type_hints(kind, include_extras=True)
    return {name: _given(name, hints.get(name), value) for name, value in values.items()}


def _given(name: str, hint: Any, value: Any) -> Any:
    """A value of one option, whose annotation is `hint`."""
    about = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    option = next((one for one in about if isinstance(one, ParameterInfo)), None)
    if option is None or value is None:
        return value
    kinds = (get_args(hint)[0], *get_args(get_args(hint)[0]))
    if isinstance(value, str | Path) and option.parser is not None:
        try:
            return option.parser(str(value))
        except typer.BadParameter as error:
            raise BadInput(f"{name}: {error.message}") from None
    if isinstance(value, str) and Path in kinds:
        return Path(value)
    choice = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)), None)
    choices = [one.value for one in choice or ()] or list(kinds[1:] if get_origin(kinds[0]) is Literal else ())
    if choices and value not in choices:
        raise BadInput(f"{name} must be {' or '.join(choices)}, not {value!r:.80}")
    if (option.min is not None and value < option.min) or (option.max is not None and value > option.max):
        most = "or more" if option.max is None else f"to {option.max}"
        raise BadInput(f"{name} must be {option.min} {most}, not {value!r:.80}")
    return choice(value) if choice else value


def used(options: Any) -> Iterator[tuple[Use, Path]]:
    """The paths among the options of a dataclass, with what becomes of each."""
    for name, hint in get_type_hints(type(options), include_extras=True).items():
        use = next((about for about in get_args(hint) if isinstance(about, Use)), None)
        value = getattr(options, name)
        if use is not None and isinstance(value, Path):
            yield use, value


def command(function: Callable[..., R]) -> Callable[..., R]:
    """The function with its parameters that are dataclasses of options replaced by their fields, as Typer reads them.

    Options that must be given come first; else the order is that of the fields, a class's own before those it inherits.
    The help shows the fields of a class that has a PANEL under that title.  Before the function is called, what it will
    read and write is checked (`host.outputs`).
    """
    groups = get_type_hints(function, include_extras=True)
    defaults = {name: parameter.default for name, parameter in signature(function).parameters.items()}
    flat = [option for name in defaults for option in _flat(name, groups[name], defaults[name])]
    flat.sort(key=lambda option: option.default is not Parameter.empty)

    def called(**values: Any) -> R:
        outputs.check(_paths(flat, values))
        values = {name: value.made if isinstance(value, _OfFile) else value for name, value in values.items()}
        return function(**{name: _made(name, groups[name], values) for name in defaults})

    called.__doc__, called.__name__ = function.__doc__, function.__name__
    called.__signature__ = Signature(flat)  # type: ignore[attr-defined]
    called.__annotations__ = {option.name: option.annotation for option in flat}
    return called


def _flat(name: str, kind: Any, default: Any, panel: str | None = None) -> list[Parameter]:
    """A parameter, or one for each field of a dataclass and of the dataclasses in it.

    panel: the title in the help under which an option stands that names none.
    """
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return [
            option
            for field in sorted(fields(kind), key=lambda field: _place(kind, field.name))
            for option in _flat(field.name, hints[field.name], field.default, _panel(kind, field.name))
        ]
    annotation, *about = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    if any(getattr(option, "parser", None) for option in about):
        annotation = str  # the parser alone decides, and Typer does not know every type that one can make
        about = [_remembering(option) for option in about] if Use.READ in about else about
    elif _is_list(annotation):
        (of, _), default = get_args(annotation), list(default)
        annotation = list[of]  # type: ignore[valid-type]
    if panel is not None:
        about = [_under(panel, option) for option in about]
    default = Parameter.empty if default is MISSING else default
    annotation = Annotated[(annotation, *about)] if about else annotation
    return [Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)]


def _place(kind: Any, name: str) -> tuple[int, int]:
    """Where a field of a dataclass is declared last: in which of it and its bases, and at which place there."""
    own = [list(get_annotations(base)) for base in kind.__mro__]
    declares = next(place for place, names in enumerate(own) if name in names)
    return declares, own[declares].index(name)


def _panel(kind: Any, name: str) -> str | None:
    """The PANEL of the class that declares it last, if that has one."""
    return vars(kind.__mro__[_place(kind, name)[0]]).get("PANEL")


def _under(panel: str, option: Any) -> Any:
    """What a parameter says of itself, with a title for its place in the help where it is an option without one."""
    if not isinstance(option, OptionInfo) or option.rich_help_panel is not None:
        return option
    option = copy(option)
    option.rich_help_panel = panel
    return option


@dataclass(frozen=True)
class _OfFile:
    """What an option's parser made of the file that it names, or of what names none."""

    made: Any
    file: Path | None


def _remembering(option: Any) -> Any:
    """An option whose parser reads files, so that the file is known beside what was made of it."""
    parser = getattr(option, "parser", None)
    if parser is None:
        return option
    option = copy(option)
    option.parser = lambda value: _OfFile(parser(value), file_of(value))
    return option


def _paths(flat: list[Parameter], values: dict[str, Any]) -> Iterator[tuple[Use, Path]]:
    """The paths among the values of all options, with what becomes of each."""
    for option in flat:
        use = next((about for about in get_args(option.annotation) if isinstance(about, Use)), None)
        value = values[option.name]
        path = value.file if isinstance(value, _OfFile) else value
        if use is not None and path is not None:
            yield use, path


def _made(name: str, kind: Any, values: dict[str, Any]) -> Any:
    """The value of a parameter, from those of all options."""
    make: Callable[..., Any] = kind
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return make(**{field.name: _made(field.name, hints[field.name], values) for field in fields(kind)})
    value = values[name]
    return tuple(value) if isinstance(value, list) else value


def _is_list(annotation: Any) -> bool:
    """Whether it is a tuple of any length, which Typer has as a list."""
    return get_origin(annotation) is tuple and get_args(annotation)[1:] == (...,)
