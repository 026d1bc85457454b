"""The registry of kinds: which operators of quantized files are read."""

from __future__ import annotations

import importlib
import pkgutil

import quant.kinds
from quant.kinds import QDQ_READERS


def test_every_kind_that_can_be_read_is_registered_once() -> None:
    names = [info.name for info in pkgutil.walk_packages(quant.kinds.__path__, "quant.kinds.")]
    modules = [module for name in names if hasattr(module := importlib.import_module(name), "READERS")]
    declared = [op for module in modules for op in module.READERS]
    assert sorted(declared) == sorted(QDQ_READERS), "a kind whose READERS nobody reads, or two that take one operator"
    assert {"Conv", "Gemm", "Add", "Mul", "MaxPool", "AveragePool", "Concat", "Resize"} <= set(QDQ_READERS)


def test_what_only_moves_data_may_be_rounded_before_it() -> None:
    assert {op for op, reader in QDQ_READERS.items() if reader.moves} == {
        "MaxPool",
        "GlobalMaxPool",
        "Concat",
        "Resize",
        "DepthToSpace",
        "Pad",
        "Where",
    }
    assert {op for op, reader in QDQ_READERS.items() if reader.sums} >= {"Conv", "Gemm", "MatMul", "Add"}
