"""ONNX Runtime as this project starts it: on the processor, quiet, its refusals in one line."""

from __future__ import annotations

import onnx
import onnxruntime

from quant.base.errors import BadInput, first_line


def session(model: onnx.ModelProto, label: str) -> onnxruntime.InferenceSession:
    """The model in ONNX Runtime.  Raises BadInput where it refuses."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exception classes share no base but this
        raise BadInput(f"{label}: ONNX Runtime cannot run it: {first_line(error)}") from error
