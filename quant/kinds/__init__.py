"""The kinds of layer, a module each: everything that is particular to one stands there.

What every kind must answer is `quant.ir.layer`; nothing outside this room asks a layer which kind it is.  Whoever works
on weights gets the one kind that has them from `quant.kinds.conv`.
"""

from quant.kinds import concat, constant_pad, depth_to_space, multiply, pool, resize, sums, table
from quant.kinds.reading import Reader

QDQ_READERS: dict[str, Reader] = {
    op: reader
    for kind in (sums, multiply, pool, concat, resize, depth_to_space, constant_pad, table)
    for op, reader in kind.READERS.items()
}
"""What reads the layers of a quantized file, by ONNX operator."""
