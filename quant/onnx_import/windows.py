"""Windows of convolutions and pools: automatic padding and ceil_mode become explicit padding."""

from __future__ import annotations

from quant.ir.window import Window
from quant.onnx_import.node import Node, NotSupportedError


def read_window(
    node: Node, shape: tuple[int, int, int], kernel: tuple[int, ...], ceil: bool = False
) -> tuple[Window, tuple[int, int]]:
    """The window of a Conv or pool node over a map of `shape`, and the padding that ceil_mode added.

    That padding, (bottom, right), is part of the window's.  kernel: (vertical, horizontal); the attributes of a
    node in one dimension are those along the row.
    Raises NotSupportedError for windows that are larger than the map or in padding only.
    """
    stride = [int(value) for value in node.attributes.get("strides", (1, 1))]
    dilation = [int(value) for value in node.attributes.get("dilations", (1, 1))]
    auto = node.attributes.get("auto_pad", b"NOTSET").decode()
    explicit = [int(value) for value in node.attributes.get("pads", (0, 0, 0, 0))]
    stride, dilation = ([1, *values][-2:] for values in (stride, dilation))
    if len(explicit) == 2:
        explicit = [0, explicit[0], 0, explicit[1]]
    begin, end, overhang = [0, 0], [0, 0], [0, 0]
    for axis in range(2):
        size, span = shape[1 + axis], (kernel[axis] - 1) * dilation[axis] + 1
        begin[axis], end[axis] = padding(auto, size, span, stride[axis], (explicit[axis], explicit[axis + 2]))
        if min(begin[axis], end[axis]) < 0:
            raise NotSupportedError(f"negative padding {explicit}")
        if size + begin[axis] + end[axis] < span:
            raise NotSupportedError(f"its kernel spans {span}, its padded input only {size + begin[axis] + end[axis]}")
        if ceil and auto == "NOTSET":
            overhang[axis] = reach_beyond(size, span, stride[axis], begin[axis], end[axis])
    window = Window(
        kernel=(kernel[0], kernel[1]),
        stride=(stride[0], stride[1]),
        pads=(begin[0], begin[1], end[0] + overhang[0], end[1] + overhang[1]),
        dilation=(dilation[0], dilation[1]),
    )
    if node.op != "Conv" and any(window.pads[side] >= span_of(window)[side % 2] for side in range(4)):
        raise NotSupportedError(f"its padding {explicit} is as large as its kernel")
    return window, (overhang[0], overhang[1])


def span_of(window: Window) -> tuple[int, int]:
    """Rows and columns from a kernel's first to its last element."""
    return (
        (window.kernel[0] - 1) * window.dilation[0] + 1,
        (window.kernel[1] - 1) * window.dilation[1] + 1,
    )


def padding(auto: str, size: int, span: int, stride: int, explicit: tuple[int, int]) -> tuple[int, int]:
    """(before, after) along one axis, by ONNX's auto_pad."""
    if auto == "NOTSET":
        return explicit
    if auto == "VALID":
        return 0, 0
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if auto == "SAME_UPPER" else (large, small)


def reach_beyond(size: int, span: int, stride: int, begin: int, end: int) -> int:
    """Elements past the padded map that the last window of ceil_mode covers.

    A window that would start past the input and its leading padding does not exist.
    """
    count = -(-(size + begin + end - span) // stride) + 1
    if (count - 1) * stride >= size + begin:
        count -= 1
    return max((count - 1) * stride + span - size - begin - end, 0)
