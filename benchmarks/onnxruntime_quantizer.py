"""ONNX Runtime's own quantizer with float scales, to be measured beside this project's.

`onnxruntime.quantization.quantize_static` as its documentation advises: after its pre-processing, which folds batch
normalisation into convolutions; QuantizeLinear and DequantizeLinear around each operator; ranges by minimum and
maximum; data uint8 and weights int8 with float scales.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from quant.run.fast_kernels import bytes_are_exact

BATCH = 10
"""Images run at a time."""


class Images(CalibrationDataReader):
    """Calibration images, float32 (N, C, H, W), for an input of this name."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        parts = (images[first : first + BATCH] for first in range(0, len(images), BATCH))
        self.feeds: Iterator[dict[str, np.ndarray]] = ({name: part} for part in parts)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next images by input name; None after the last."""
        return next(self.feeds, None)


def quantize(source: Path, images: np.ndarray, target: Path, per_channel: bool) -> None:
    """Quantize an ONNX file into another.

    images: float32 (N, C, H, W) as the network takes them.  per_channel: weights have a scale for each output channel,
    or one for each layer.
    """
    name = onnx.load(source).graph.input[0].name
    logging.disable(logging.WARNING)  # among them the advice to do the pre-processing, which was done
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(source, prepared, skip_symbolic_shape=True)  # all shapes but the batch are known
            quantize_static(
                prepared, target, Images(name, images), quant_format=QuantFormat.QDQ, per_channel=per_channel,
                reduce_range=False, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)


def open_quantized(path: Path) -> onnxruntime.InferenceSession:
    """A quantized file in ONNX Runtime, which runs it on bytes where this processor's products of bytes are exact.

    On others they saturate, which is no fault of the quantizer: there it runs as written, on floats.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not bytes_are_exact():
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
