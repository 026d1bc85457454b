"""Quantized networks as standard ONNX files: QuantizeLinear and DequantizeLinear with power-of-two scales."""

from quant.qdq.read import NOTES, load
from quant.qdq.run import run_layers, run_returned
from quant.qdq.wide import beyond_float32
from quant.qdq.write import save, to_model

__all__ = ["NOTES", "beyond_float32", "load", "run_layers", "run_returned", "save", "to_model"]
