"""Scalings and picked channels go into the weights of convolutions beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.kinds.conv import FloatConv
from quant.kinds.table import FloatTable
from quant.onnx_import.node import function_of
from quant.onnx_import.steps import Activation, Affine, Program, Select, Step, depthwise
from quant.onnx_import.views import ZERO


def fold_selects(program: Program) -> None:
    """Picked or permuted channels become the order of a convolution's outputs before, or of its inputs behind."""
    for conv in [step for step in program.steps if isinstance(step, FloatConv)]:
        divide(program, conv)
    for step in [step for step in program.steps if isinstance(step, Select)]:
        fold_into_readers(program, step)


def channels_only(step: Step, shape: tuple[int, int, int]) -> bool:
    """Whether a step is a Select of whole channels."""
    if not isinstance(step, Select):
        return False
    picked = step.picks
    return picked.count == shape[1:] and not picked.rows.any() and not picked.columns.any()


def divide(program: Program, conv: FloatConv) -> None:
    """A convolution of which only picked channels are read computes these, for each reader its own.

    Clips and scalings between are picked along.  The channels picked are no more than there were.
    """
    if conv.groups != 1 or conv.residual is not None:
        return
    between: list[Activation | Affine] = []
    tensor = conv.output
    readers = program.readers(tensor)
    while len(readers) == 1 and isinstance(readers[0], Activation | Affine) and tensor not in program.outputs:
        between.append(readers[0])
        tensor = readers[0].output
        readers = program.readers(tensor)
    selects = [step for step in readers if isinstance(step, Select) and channels_only(step, program.shapes[tensor])]
    channels = [step.picks.channels for step in selects]
    if not selects or len(selects) != len(readers) or tensor in program.outputs:
        return
    if sum(map(len, channels)) > len(conv.weight) or any((picked == ZERO).any() for picked in channels):
        return
    for number, (select, picked) in enumerate(zip(selects, channels, strict=True)):
        place = program.steps.index(select)
        program.steps[place : place + 1] = picked_chain(program, conv, between, select, picked, number)
    for step in (conv, *between):
        program.steps.remove(step)


def picked_chain(
    program: Program,
    conv: FloatConv,
    between: list[Activation | Affine],
    select: Select,
    picked: np.ndarray,
    number: int,
) -> list[Step]:
    """The convolution and what follows it for some of its output channels; the last writes the Select's tensor."""
    suffix = f".{number + 1}" if number else ""
    while any(step.name == conv.name + suffix for step in program.steps) and number:
        suffix += "_"
    program.merged[select.name] = conv.name + suffix
    outputs = [program.fresh(f"{step.output}.{number + 1}") for step in (conv, *between)]
    outputs[-1] = select.output
    for step, output in zip((conv, *between), outputs[:-1], strict=False):
        program.shapes[output] = (len(picked), *program.shapes[step.output][1:])
        program.made_up.add(output)
    steps: list[Step] = [
        replace(conv, name=conv.name + suffix, output=outputs[0], weight=conv.weight[picked], bias=conv.bias[picked])
    ]
    for step, before, output in zip(between, outputs, outputs[1:], strict=False):
        changed = replace(step, name=step.name + suffix, input=before, output=output)
        if isinstance(changed, Affine):
            changed = replace(changed, scale=changed.scale[picked], shift=changed.shift[picked])
        steps.append(changed)
    return steps


def fold_into_readers(program: Program, select: Select) -> None:
    """Where only convolutions over all channels read picked channels, and it costs no more, they pick themselves."""
    shape = program.shapes[select.input]
    readers = program.readers(select.output)
    if select.output in program.outputs or not readers or not channels_only(select, shape):
        return
    convs = [
        step for step in readers if isinstance(step, FloatConv) and step.groups == 1 and step.residual != select.output
    ]
    picked = select.picks.channels
    more = sum(
        (shape[0] - len(picked)) * step.weight[:, 0].size * int(np.prod(program.shapes[step.output][1:]))
        for step in convs
    )
    if len(convs) != len(readers) or more > len(picked) * int(np.prod(shape)):
        return
    for conv in convs:
        weight = np.zeros((len(conv.weight), shape[0], *conv.window.kernel), np.float32)
        for index, source in enumerate(picked):
            if source != ZERO:
                weight[:, source] += conv.weight[:, index]
        program.steps[program.steps.index(conv)] = replace(conv, input=select.input, weight=weight)
    program.merged[select.name] = convs[0].name
    program.steps.remove(select)


def fold_into_tables(program: Program) -> None:
    """What is done to each element alike, behind a table or before one, is part of its function.

    Before a table only what no convolution before it can take.
    """
    for step in list(program.steps):
        if step not in program.steps:
            continue
        before = program.producers().get(step.inputs[0])
        if before is None or program.uses()[before.output] > 1 or len(step.inputs) > 1:
            continue
        first, second = function_of(before), function_of(step)
        if first is None or second is None or not {type(before), type(step)} & {FloatTable}:
            continue
        conv = None if isinstance(before, FloatTable) else scaled_by(program, before)
        if isinstance(conv, FloatConv) and program.uses()[conv.output] == 1:
            continue
        place = program.steps.index(step)
        program.steps[place] = FloatTable(step.name, before.inputs[0], step.output, second.of(first))
        program.steps.remove(before)
        program.merged[before.name] = step.name


def scaled_by(program: Program, step: Step) -> Step | None:
    """What a step reads, behind scalings that nothing else reads."""
    uses, producers = program.uses(), program.producers()
    while True:
        before = producers.get(step.inputs[0])
        if not isinstance(before, Affine) or uses[before.output] > 1:
            return before
        step = before


def fold_affine(program: Program) -> None:
    """Affine steps go into the convolution before them, else those behind them, else become a depthwise 1x1 one."""
    for step in [step for step in program.steps if isinstance(step, Affine)]:
        place = program.steps.index(step)
        current = program.steps[place]
        assert isinstance(current, Affine)
        before = program.producers().get(current.input)
        sole = program.uses()[current.input] == 1
        if isinstance(before, Affine) and sole:
            program.steps[place] = replace(
                current,
                input=before.input,
                scale=before.scale * current.scale,
                shift=before.shift * current.scale + current.shift,
            )
            program.steps.remove(before)
            program.merged[before.name] = current.name
        elif isinstance(before, FloatConv) and sole and takes_scaling(before):
            program.steps[place] = scaled(before, current)
            program.steps.remove(before)
            program.merged[current.name] = before.name
    for step in [step for step in program.steps if isinstance(step, Affine)]:
        readers = program.readers(step.output)
        convs = [reader for reader in readers if isinstance(reader, FloatConv) and takes_input(reader, step)]
        if convs and len(convs) == len(readers) and step.output not in program.outputs:
            for conv in convs:
                program.steps[program.steps.index(conv)] = rescaled(conv, step.scale, step.shift, step.input)
            program.steps.remove(step)
            program.merged[step.name] = convs[0].name
        else:
            program.steps[program.steps.index(step)] = depthwise(step, step.scale, step.shift, (0, 0, 0, 0))


def takes_scaling(conv: FloatConv) -> bool:
    """Whether what scales a convolution's result may scale its weights instead."""
    return conv.residual is None and conv.clip == (None, None)


def takes_input(conv: FloatConv, affine: Affine) -> bool:
    """Whether what scales a convolution's input may go into its weights: not a shift, where it pads with zeros."""
    return conv.residual != affine.output and (not any(conv.window.pads) or not affine.shift.any())


def scaled(conv: FloatConv, affine: Affine) -> FloatConv:
    """The convolution followed by the affine step.  Computed in float64."""
    weight = conv.weight.astype(np.float64) * affine.scale.reshape(-1, 1, 1, 1)
    bias = conv.bias.astype(np.float64) * affine.scale + affine.shift
    with np.errstate(over="ignore"):  # `load` reports infinite weights by the layer's name
        return replace(conv, weight=weight.astype(np.float32), bias=bias.astype(np.float32), output=affine.output)


def rescaled(conv: FloatConv, scale: np.ndarray, shift: np.ndarray, source: str) -> FloatConv:
    """The convolution of x * scale + shift as one of x, which is the tensor `source`.  Computed in float64.

    scale, shift: (I,) over all input channels.  Exact where the convolution does not pad, or nothing is shifted.
    """
    outputs, inputs = conv.weight.shape[:2]
    channels = np.arange(outputs) // (outputs // conv.groups) * inputs
    own = channels[:, None] + np.arange(inputs)
    exact = conv.weight.astype(np.float64)
    bias = conv.bias + (exact.sum((2, 3)) * shift[own]).sum(1)
    with np.errstate(over="ignore"):
        weight = (exact * scale[own][:, :, None, None]).astype(np.float32)
        return replace(conv, weight=weight, bias=bias.astype(np.float32), input=source)
