"""Fusion: every simple step becomes part of a layer or a convolution of its own.

The passes run in the order of `fuse`.  A step is merged into another only where nothing else reads the
tensor between them, so that every tensor that stays equals one of the file's (`Program.made_up` has the few
that do not).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.ir.functions import clipped
from quant.ir.layer import Clip
from quant.ir.window import Window
from quant.kinds.add import FloatAdd
from quant.kinds.concat import Concat
from quant.kinds.conv import FloatConv
from quant.kinds.pool import FloatPool
from quant.kinds.resize import Resize
from quant.kinds.table import FloatTable
from quant.onnx_import.folding import fold_affine, fold_into_tables, fold_selects
from quant.onnx_import.steps import Activation, Affine, Program, Select, Step, ZeroPad, depthwise, select_as_conv


def fuse(program: Program) -> None:
    """Leave only layers of the float graph in `program.steps`."""
    drop_unread(program)
    fold_selects(program)
    fold_into_tables(program)
    fold_affine(program)
    merge_padding(program)
    make_convolutions(program)
    fuse_activations(program)
    fuse_residuals(program)


def drop_unread(program: Program) -> None:
    """Remove steps whose result nothing reads any more."""
    kept: list[Step] = []
    needed = set(program.outputs)
    for step in reversed(program.steps):
        if step.output in needed:
            kept.append(step)
            needed.update(step.inputs)
    program.steps = kept[::-1]


def merge_padding(program: Program) -> None:
    """Padding goes into every layer that reads it where that computes the same."""
    pads = {step.output: step for step in program.steps if isinstance(step, ZeroPad)}
    producers = program.producers()
    for place, step in enumerate(program.steps):
        pad = pads.get(step.inputs[0])
        if isinstance(step, FloatConv | FloatPool) and pad is not None:
            top, left, bottom, right = (a + b for a, b in zip(step.window.pads, pad.pads, strict=True))
            window = replace(step.window, pads=(top, left, bottom, right))
            if isinstance(step, FloatConv) or pool_takes(step, window, pad, producers):
                program.steps[place] = replace(step, input=pad.input, window=window)
                program.merged[pad.name] = step.name
    drop_unread(program)


def pool_takes(pool: FloatPool, window: Window, pad: ZeroPad, producers: dict[str, Step]) -> bool:
    """Whether zeros around the input may become the pool's own padding.

    A maximum of numbers not below zero is not changed by zeros beside them; an average counts padding
    only if it counts all of it.  Every window must keep at least one real element.
    """
    if any(size >= window.span[side % 2] for side, size in enumerate(window.pads)):
        return False
    if pool.kind == "max" and not pad.lowest:
        return not_negative(pad.input, producers)
    return pad.lowest or pool.count_include_pad


def not_negative(tensor: str, producers: dict[str, Step]) -> bool:
    """Whether no element of a tensor can be below zero."""
    step = producers.get(tensor)
    if step is None:
        return False
    if isinstance(step, Activation):
        return step.clip[0] is not None and step.clip[0] >= 0
    if isinstance(step, FloatConv | FloatTable | Affine):
        return False
    return all(not_negative(source, producers) for source in step.inputs)


def make_convolutions(program: Program) -> None:
    """What is left of selections and paddings becomes convolutions with weights 0 and 1."""
    for place, step in enumerate(program.steps):
        if isinstance(step, Select):
            program.steps[place] = select_as_conv(step, program.shapes[step.input])
            program.plumbing.add(step.name)
        elif isinstance(step, ZeroPad):
            ones = np.ones(program.shapes[step.input][0])
            program.steps[place] = depthwise(step, ones, 0 * ones, step.pads)
            program.plumbing.add(step.name)


def narrowed(clip: Clip, bounds: Clip) -> Clip:
    """First `clip`, then `bounds`."""

    def bounded(value: float) -> float:
        value = value if bounds[0] is None else max(value, bounds[0])
        return value if bounds[1] is None else min(value, bounds[1])

    low = bounds[0] if clip[0] is None else bounded(clip[0])
    high = bounds[1] if clip[1] is None else bounded(clip[1])
    return low, high


def fuse_activations(program: Program) -> None:
    """An activation goes into the layer before it, through concatenations, else becomes a convolution."""
    for step in [step for step in program.steps if isinstance(step, Activation)]:
        uses, producers = program.uses(), program.producers()
        if takes_clip(step.input, uses, producers):
            apply_clip(program, step.input, step.output, step.clip, producers)
            program.steps.remove(step)
            program.merged[step.name] = producers[step.input].name
        else:
            ones = np.ones(program.shapes[step.input][0])
            place = program.steps.index(step)
            program.steps[place] = depthwise(step, ones, 0 * ones, (0, 0, 0, 0), step.clip)
            program.plumbing.add(step.name)


def takes_clip(tensor: str, uses: dict[str, int], producers: dict[str, Step]) -> bool:
    """Whether the step that writes a tensor, read once, can clip it: layers can, what moves data through its inputs."""
    step = producers.get(tensor)
    if step is None or uses[tensor] != 1:
        return False
    if isinstance(step, Concat | Resize):
        return all(takes_clip(source, uses, producers) for source in step.inputs)
    return not isinstance(step, Activation)


def apply_clip(program: Program, tensor: str, name: str, bounds: Clip, producers: dict[str, Step]) -> None:
    """Make the step that writes `tensor` write it clipped, under a new name."""
    step = producers[tensor]
    place = program.steps.index(step)
    if isinstance(step, Concat):
        inner = [program.fresh(f"{source}.clipped") for source in step.inputs]
        for source, made in zip(step.inputs, inner, strict=True):
            apply_clip(program, source, made, bounds, producers)
            program.made_up.add(made)
        program.steps[place] = replace(step, inputs=tuple(inner), output=name)
    elif isinstance(step, Resize):
        made = program.fresh(f"{step.input}.clipped")
        apply_clip(program, step.input, made, bounds, producers)
        program.made_up.add(made)
        program.steps[place] = replace(step, input=made, output=name)
    elif isinstance(step, FloatTable):
        program.steps[place] = replace(step, output=name, function=clipped(*bounds).of(step.function))
    elif isinstance(step, FloatConv | FloatPool | FloatAdd):
        program.steps[place] = replace(step, output=name, clip=narrowed(step.clip, bounds))
    program.shapes[name] = program.shapes[tensor]


def fuse_residuals(program: Program) -> None:
    """An addition goes into a convolution before it, which then stands in the addition's place.

    Of two convolutions the later one takes it, but one that computes something rather than one that only
    moves data: the moved data are kept exactly by the tensor between, a sum of products is not.
    """
    for step in [step for step in program.steps if isinstance(step, FloatAdd)]:
        uses = program.uses()
        candidates = [
            (conv.name not in program.plumbing, place, conv)
            for place, conv in enumerate(program.steps)
            if isinstance(conv, FloatConv)
            and conv.output in step.inputs
            and uses[conv.output] == 1
            and conv.residual is None
            and conv.clip == (None, None)
        ]
        if not candidates:
            continue
        conv = max(candidates, key=lambda candidate: candidate[:2])[2]
        residual = step.inputs[1] if step.inputs[0] == conv.output else step.inputs[0]
        fused = replace(conv, residual=residual, output=step.output, clip=step.clip)
        program.steps[program.steps.index(step)] = fused
        program.steps.remove(conv)
        program.merged[step.name] = conv.name
