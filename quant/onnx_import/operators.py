"""Which function lowers each supported ONNX operator: it appends steps or raises NotSupportedError with the reason.

docs/operators.md says for the reader what each becomes.
"""

from __future__ import annotations

from quant.onnx_import import combining, curves, elementwise, enlarging, layers, normalizing, shaping, tails
from quant.onnx_import.node import Handler

HANDLERS: dict[str, Handler] = {
    "Abs": elementwise.leaky_relu,
    "Add": combining.add,
    "ArgMax": tails.leave,
    "AveragePool": layers.average_pool,
    "BatchNormalization": elementwise.batch_normalization,
    "Cast": shaping.identity,
    "Clip": elementwise.clip,
    "Concat": shaping.concat,
    "Conv": layers.conv,
    "ConvTranspose": enlarging.conv_transpose,
    "DepthToSpace": enlarging.depth_to_space,
    "Div": curves.multiply,
    "Dropout": shaping.identity,
    "Expand": shaping.expand,
    "Flatten": shaping.reshape,
    "Gather": shaping.gather,
    "Gelu": curves.composed,
    "Gemm": layers.gemm,
    "GlobalAveragePool": layers.global_pool,
    "GlobalMaxPool": layers.global_pool,
    "HardSigmoid": elementwise.hard_sigmoid,
    "Identity": shaping.identity,
    "LRN": normalizing.lrn,
    "LeakyRelu": elementwise.leaky_relu,
    "LogSoftmax": tails.leave,
    "MatMul": layers.matmul,
    "Max": combining.extreme,
    "MaxPool": layers.max_pool,
    "Mean": combining.add,
    "Min": combining.extreme,
    "Mish": curves.composed,
    "Mul": curves.multiply,
    "Neg": elementwise.negate,
    "PRelu": elementwise.leaky_relu,
    "Pad": shaping.pad,
    "Pow": curves.power,
    "ReduceMax": layers.reduce,
    "ReduceMean": layers.reduce,
    "ReduceSum": layers.reduce,
    "Relu": elementwise.relu,
    "Reshape": shaping.reshape,
    "Resize": shaping.resize,
    "Slice": shaping.slice_,
    "Sigmoid": tails.sigmoid,
    "Softmax": tails.leave,
    "SpaceToDepth": shaping.space_to_depth,
    "Split": shaping.split,
    "Squeeze": shaping.reshape,
    "Sub": combining.subtract,
    "Sum": combining.add,
    "Swish": curves.composed,
    "Tile": shaping.tile,
    "Transpose": shaping.transpose,
    "Unsqueeze": shaping.reshape,
    "Upsample": shaping.resize,
    "Where": elementwise.where,
}
HANDLERS |= {op: curves.curve for op in curves.DEFAULTS if op not in HANDLERS}
