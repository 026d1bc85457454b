"""Whether ONNX Runtime takes a quantized file: what it refuses is no network, whatever could be read from it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from quant.base.errors import BadInput
from quant.run.session import Session


def check_runs(
    model: onnx.ModelProto,
    label: str,
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
) -> None:
    """Load a model in ONNX Runtime, and run it on one batch of zeros, node by node as it stands.

    inputs: the shape of each, with its batch.  outputs: the shape of each without the batch, as it was read.
    Raises BadInput, with ONNX Runtime's reason, where that refuses the model or gives an output another shape.
    """
    zeros = {name: np.zeros(shape, np.float32) for name, shape in inputs.items()}
    found = Session(model, label, optimized=False).run(list(outputs), zeros)
    batch = next(iter(inputs.values()))[0]
    for (name, own), values in zip(outputs.items(), found, strict=True):
        if values.shape != (batch, *own):
            raise BadInput(f"{label}: output {name} is {values.shape} in ONNX Runtime, not {(batch, *own)}")
