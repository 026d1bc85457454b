"""Scalings and picked channels go into the weights of layers beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.ir.functions import MOST_PARTS
from quant.ir.layer import FloatLayer
from quant.kinds.table import FloatTable
from quant.onnx_import.draft import Draft
from quant.onnx_import.steps import Affine, ByChannel, Select, Step, stays_in_place
from quant.onnx_import.views import ZERO


def fold_selects(draft: Draft) -> None:
    """Picked or permuted channels become the order of a convolution's outputs before, or of its inputs behind."""
    for layer in draft.steps:
        if not isinstance(layer, Step):  # none of these computes channels of its own
            divide(draft, layer)
    for select in draft.every(Select):
        fold_into_readers(draft, select)


def divide(draft: Draft, layer: FloatLayer) -> None:
    """A layer of which only picked channels are read computes these, for each reader its own.

    Clips, scalings and tables between are picked along.  The channels picked are no more than there were.
    """
    between: list[FloatLayer] = []
    tensor = layer.output
    readers = draft.readers(tensor)
    while len(readers) == 1 and stays_in_place(readers[0]) and tensor not in draft.outputs:
        between.append(readers[0])
        tensor = readers[0].output
        readers = draft.readers(tensor)
    if not readers or tensor in draft.outputs:
        return
    selects: list[tuple[Select, np.ndarray]] = []
    for reader in readers:
        picked = reader.channels(draft.shapes[tensor]) if isinstance(reader, Select) else None
        if not isinstance(reader, Select) or picked is None or (picked == ZERO).any() or layer.only(picked) is None:
            return
        selects.append((reader, picked))
    if sum(len(picked) for _, picked in selects) > draft.shapes[layer.output][0]:
        return
    for number, (select, picked) in enumerate(selects):
        draft.put(select, *picked_chain(draft, layer, between, select, picked, number))
    for step in (layer, *between):
        draft.put(step)


def picked_chain(
    draft: Draft, layer: FloatLayer, between: list[FloatLayer], select: Select, picked: np.ndarray, number: int
) -> list[FloatLayer]:
    """The layer and what follows it for some of its output channels; the last writes the Select's tensor."""
    suffix = f".{number + 1}" if number else ""
    while number and any(draft.has(step.name + suffix) for step in (layer, *between)):
        suffix += "_"
    draft.merged[select.name] = layer.name + suffix
    outputs = [draft.fresh(f"{step.output}.{number + 1}") for step in (layer, *between)]
    outputs[-1] = select.output
    for step, output in zip((layer, *between), outputs[:-1], strict=False):
        draft.shapes[output] = (len(picked), *draft.shapes[step.output][1:])
        draft.made_up.add(output)
    first = layer.only(picked)
    assert first is not None
    chain = [first, *(step.on(picked) if isinstance(step, ByChannel) else step for step in between)]
    names = dict(zip([step.output for step in chain], outputs, strict=True))
    return [step.named(step.name + suffix).renamed(names) for step in chain]


def fold_into_readers(draft: Draft, select: Select) -> None:
    """Where only layers that can pick channels themselves read picked ones, and it costs no more, they do."""
    shape = draft.shapes[select.input]
    readers, picked = draft.readers(select.output), select.channels(shape)
    if select.output in draft.outputs or not readers or picked is None:
        return
    folded: list[FloatLayer] = []
    more = 0
    for reader in readers:
        wider = reader.of_channels(picked, shape[0])
        if wider is None or not reader.reads_first(select.output):
            return
        folded.append(wider.renamed({select.output: select.input}))
        size = draft.shapes[reader.output]
        more += wider.macs(size) - reader.macs(size)
    if more > len(picked) * int(np.prod(shape)):
        return
    for reader, wider in zip(readers, folded, strict=True):
        draft.put(reader, wider)
    draft.merge(select, folded[0])


def fold_into_tables(draft: Draft) -> None:
    """What is done to each element alike, behind a table or before one, is part of its function.

    Before a table only what no weights before it can take.
    """
    for step in draft.steps:
        if step not in draft:
            continue
        before = draft.writer(step.inputs[0])
        if before is None or draft.uses(before.output) > 1 or len(step.inputs) > 1:
            continue
        first, second = before.elementwise, step.elementwise
        if first is None or second is None or all(isinstance(one, Step) for one in (before, step)):
            continue
        if isinstance(before, Step) and in_weights(draft, before):
            continue
        if first.size * second.size > MOST_PARTS:
            continue
        table = FloatTable(step.name, before.inputs[0], step.output, second.of(first))
        draft.put(step, table)
        draft.merge(before, table)


def in_weights(draft: Draft, step: FloatLayer) -> bool:
    """Whether weights can take what a step does to what it reads, behind scalings that nothing else reads."""
    while True:
        before = draft.writer(step.inputs[0])
        if before is None or draft.uses(before.output) > 1:
            return False
        if not isinstance(before, Affine):
            channels = draft.shapes[before.output][0]
            return before.scaled(np.ones(channels), np.zeros(channels)) is not None
        step = before


def lift_affine(draft: Draft) -> None:
    """Affine steps behind what only moves elements go before it, where weights take them."""
    for affine in draft.every(Affine):
        mover = draft.writer(affine.input)
        if mover is None or draft.uses(affine.input) != 1:
            continue
        origins = mover.becomes(len(affine.scale))
        if origins is None:
            continue
        [source] = mover.inputs
        lifted = Affine(
            affine.name, source, draft.fresh(f"{source}.scaled"), affine.scale[origins], affine.shift[origins]
        )
        writer = draft.writer(source)
        if writer is None or draft.uses(source) != 1 or writer.scaled(lifted.scale, lifted.shift) is None:
            continue
        draft.shapes[lifted.output] = draft.shapes[source]
        draft.made_up.add(lifted.output)
        draft.put(mover, lifted)
        draft.put(affine, mover.renamed({source: lifted.output, mover.output: affine.output}))


def fold_affine(draft: Draft) -> None:
    """Affine steps go into the layer before them, else those behind them, else become a depthwise 1x1 convolution."""
    for affine in draft.every(Affine):
        before = draft.writer(affine.input)
        if before is None or draft.uses(affine.input) != 1:
            continue
        scaled = before.scaled(affine.scale, affine.shift)
        if isinstance(before, Affine):
            scale, shift = before.scale * affine.scale, before.shift * affine.scale + affine.shift
            draft.put(affine, replace(affine, input=before.input, scale=scale, shift=shift))
            draft.merge(before, affine)
        elif scaled is not None:
            draft.put(affine, scaled.renamed({before.output: affine.output}))
            draft.put(before)
            draft.merged[affine.name] = before.name
    for affine in draft.every(Affine):
        readers = draft.readers(affine.output)
        folded = [reader.of_scaled(affine.scale, affine.shift) for reader in readers]
        alone = affine.output not in draft.outputs and all(reader.reads_first(affine.output) for reader in readers)
        if not readers or not alone or any(layer is None for layer in folded):
            draft.put(affine, affine.as_conv(draft.shapes[affine.input]))
            continue
        for reader, layer in zip(readers, folded, strict=True):
            assert layer is not None
            draft.put(reader, layer.renamed({affine.output: affine.input}))
        draft.merge(affine, readers[0])
