"""The fixed-point network against the float network: how far, where, why, and what repairs it."""

from __future__ import annotations

from quant.compare.accumulated import Accumulated, TensorComparison, accumulate, compare_layers
from quant.compare.alone import Causes, LayerAlone
from quant.compare.dump import dump_tensors
from quant.compare.measure import Errors
from quant.compare.repairs import Repair
from quant.compare.returned import ReturnedErrors, returned_errors
from quant.compare.sensitivity import Sensitivity, sensitivities
from quant.compare.spread import Spread

__all__ = [
    "Accumulated",
    "Causes",
    "Errors",
    "LayerAlone",
    "Repair",
    "ReturnedErrors",
    "Sensitivity",
    "Spread",
    "TensorComparison",
    "accumulate",
    "compare_layers",
    "dump_tensors",
    "returned_errors",
    "sensitivities",
]
