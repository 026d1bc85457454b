"""Windows of convolutions and pools: automatic padding and ceil_mode become explicit padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import onnx
from onnx import helper

from quant.ir.tensor import MOST_ELEMENTS
from quant.ir.window import Window
from quant.onnx_file.nodes import NotSupportedError, attributes


def read_window(
    values: Mapping[str, Any], shape: tuple[int, int, int], kernel: tuple[int, int]
) -> tuple[Window, tuple[int, int]]:
    """The window of a Conv or pool over a map (C, H, W), and the padding that ceil_mode added.

    That padding, (bottom, right), is part of the window's.  values: the node's attributes by name, in one dimension
    those along the row.  kernel: (vertical, horizontal).
    Raises NotSupportedError for negative padding and a kernel that is larger than the padded map (with ceil_mode,
    by a stride or more: nearer than that, one window stands over the whole map), for one that the weights have not, for
    padding larger than the kernel, and for a padded map of too many elements.
    """
    stride = [int(value) for value in values.get("strides", (1, 1))]
    dilation = [int(value) for value in values.get("dilations", (1, 1))]
    auto = values.get("auto_pad", b"NOTSET").decode()
    explicit = [int(value) for value in values.get("pads", (0, 0, 0, 0))]
    stride, dilation = ([1, *values][-2:] for values in (stride, dilation))
    given = values.get("kernel_shape")
    if given is not None and ([1, *given] if len(given) == 1 else [*given]) != [*kernel]:
        raise NotSupportedError(f"its kernel_shape {list(given)} is not that of its weights, {kernel}")
    sizes = {len(values.get(name, (1, 1))) for name in ("strides", "dilations")}
    if len(explicit) not in (2, 4) or not sizes <= {1, 2} or min(*kernel, *stride, *dilation) < 1:
        raise NotSupportedError(f"no window: kernel {kernel}, strides {stride}, dilations {dilation}, pads {explicit}")
    if len(explicit) == 2:
        explicit = [0, explicit[0], 0, explicit[1]]
    begin, end, overhang = [0, 0], [0, 0], [0, 0]
    for axis in range(2):
        size, span = shape[1 + axis], (kernel[axis] - 1) * dilation[axis] + 1
        begin[axis], end[axis] = padding(auto, size, span, stride[axis], (explicit[axis], explicit[axis + 2]))
        if min(begin[axis], end[axis]) < 0:
            raise NotSupportedError(f"negative padding {explicit}")
        if max(begin[axis], end[axis]) > span:
            raise NotSupportedError(f"its padding {explicit} is larger than its kernel, which spans {span}", "pad less")
        ceil = bool(values.get("ceil_mode", 0)) and auto == "NOTSET"
        padded = size + begin[axis] + end[axis]
        if padded + (stride[axis] - 1 if ceil else 0) < span:
            raise NotSupportedError(f"its kernel spans {span}, its padded input only {padded}")
        if ceil:
            overhang[axis] = reach_beyond(size, span, stride[axis], begin[axis], end[axis])
    padded_map = (shape[0], *(size + sum(ends) for size, *ends in zip(shape[1:], begin, end, overhang, strict=True)))
    if prod(padded_map) > MOST_ELEMENTS:
        raise NotSupportedError(f"its padded input is {padded_map}, more than {MOST_ELEMENTS:,} elements", "pad less")
    window = Window(
        kernel=kernel,
        stride=(stride[0], stride[1]),
        pads=(begin[0], begin[1], end[0] + overhang[0], end[1] + overhang[1]),
        dilation=(dilation[0], dilation[1]),
    )
    return window, (overhang[0], overhang[1])


def read_average(
    values: Mapping[str, Any], shape: tuple[int, int, int], kernel: tuple[int, int]
) -> tuple[Window, bool]:
    """The window of an average as of `read_window`, and whether its padding counts, as in `quant.kinds.pool`.

    Raises NotSupportedError as `read_window`, and where ceil_mode leaves the count of elements to the runtime.
    """
    window, overhang = read_window(values, shape, kernel)
    counts = bool(values.get("count_include_pad", 0))
    padded = any(own - more for own, more in zip(window.pads, (0, 0, *overhang), strict=True))
    if any(overhang) and counts and padded:
        raise NotSupportedError(
            "ceil_mode with padding that counts (count_include_pad = 1)", "set ceil_mode = 0 or count_include_pad = 0"
        )
    # elements beyond the padded map, which ceil_mode lets a window reach, are never counted
    if not counts or any(overhang):
        window = without_idle_padding(window, shape)
    return window, (counts and not any(overhang)) or not any(window.pads)


def without_idle_padding(window: Window, shape: tuple[int, int, int]) -> Window:
    """The window of an average that does not count padding, with as little of it as gives the same numbers.

    What no window reaches goes; a kernel that stands at one place only is cut to the map.
    """
    kernel, pads = list(window.kernel), list(window.pads)
    for axis, count in enumerate(window.output_size(*shape[1:])):
        size = shape[1 + axis]
        reached = (count - 1) * window.stride[axis] + window.span[axis] - pads[axis]
        pads[axis + 2] = max(reached - size, 0)
        if count == 1 and window.dilation[axis] == 1 and reached > 0:
            kernel[axis] = min(reached, size)
            pads[axis] = pads[axis + 2] = 0
    return replace(window, kernel=(kernel[0], kernel[1]), pads=(pads[0], pads[1], pads[2], pads[3]))


def state_padding(node: onnx.NodeProto, size: Sequence[int], kernel: Sequence[int]) -> None:
    """Write the automatic padding of a node as the numbers that it means.

    size: of the map that it reads, along the axes of the kernel; kernel: as many sizes.
    """
    values = attributes(node)
    auto = values.get("auto_pad", b"NOTSET").decode()
    ones = [1] * len(size)
    strides, dilations = values.get("strides", ones), values.get("dilations", ones)
    spans = [(count - 1) * step + 1 for count, step in zip(kernel, dilations, strict=True)]
    ends = [padding(auto, *axis, (0, 0)) for axis in zip(size, spans, strides, strict=True)]
    kept = [attribute for attribute in node.attribute if attribute.name not in ("auto_pad", "pads")]
    pads = [before for before, _ in ends] + [after for _, after in ends]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("pads", pads)])


def padding(auto: str, size: int, span: int, stride: int, explicit: tuple[int, int]) -> tuple[int, int]:
    """(before, after) along one axis, by ONNX's auto_pad."""
    if auto == "NOTSET":
        return explicit
    if auto == "VALID":
        return 0, 0
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise NotSupportedError(f"auto_pad {auto!r}; ONNX has NOTSET, VALID, SAME_UPPER and SAME_LOWER")
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
