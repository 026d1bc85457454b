"""Which function lowers each supported ONNX operator: it appends steps or raises NotSupportedError with the reason.

docs/operators.md says for the reader what each becomes.
"""

from __future__ import annotations

from collections.abc import Callable

from quant.onnx_import import elementwise, layers, shaping
from quant.onnx_import.node import Node

HANDLERS: dict[str, Callable[[Node], None]] = {
    "Abs": elementwise.leaky_relu,
    "Add": elementwise.add,
    "AveragePool": layers.average_pool,
    "BatchNormalization": elementwise.batch_normalization,
    "Cast": shaping.identity,
    "Clip": elementwise.clip,
    "Concat": shaping.concat,
    "Conv": layers.conv,
    "Div": elementwise.with_constant,
    "Dropout": shaping.identity,
    "Flatten": shaping.reshape,
    "Gather": shaping.gather,
    "Gemm": layers.gemm,
    "GlobalAveragePool": layers.global_pool,
    "GlobalMaxPool": layers.global_pool,
    "HardSigmoid": elementwise.hard_sigmoid,
    "Identity": shaping.identity,
    "LeakyRelu": elementwise.leaky_relu,
    "MatMul": layers.matmul,
    "Max": elementwise.extreme,
    "MaxPool": layers.max_pool,
    "Mean": elementwise.add,
    "Min": elementwise.extreme,
    "Mul": elementwise.with_constant,
    "Neg": elementwise.negate,
    "PRelu": elementwise.leaky_relu,
    "Pad": shaping.pad,
    "ReduceMax": layers.reduce,
    "ReduceMean": layers.reduce,
    "ReduceSum": layers.reduce,
    "Relu": elementwise.relu,
    "Reshape": shaping.reshape,
    "Slice": shaping.slice_,
    "Softmax": shaping.softmax,
    "SpaceToDepth": shaping.space_to_depth,
    "Split": shaping.split,
    "Squeeze": shaping.reshape,
    "Sub": elementwise.subtract,
    "Sum": elementwise.add,
    "Transpose": shaping.transpose,
    "Unsqueeze": shaping.reshape,
}
