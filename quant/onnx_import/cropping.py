"""Rows and columns that are cut off a convolution's result are not computed: the convolution pads less.

So a causal convolution, which is often written as one that pads at both ends and a cut behind it, costs what it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.ir.layer import FloatLayer
from quant.onnx_import.draft import Draft
from quant.onnx_import.steps import Select, stays_in_place
from quant.onnx_import.views import ZERO, Moves


def fold_crops(draft: Draft) -> None:
    """Crops go into the convolutions before them, where the padding holds them."""
    for select in draft.every(Select):
        fold_crop(draft, select)


def fold_crop(draft: Draft, select: Select) -> None:
    """What picks channels besides is left to do that; what works on each element alone does so on fewer."""
    picks, (channels, *size) = select.picks, draft.shapes[select.input]
    first, chain = corner(picks), written_by(draft, select.input)
    if first is None or picks.step != (1, 1) or picks.count == tuple(size) or not chain:
        return
    _, height, width = draft.shapes[chain[0].inputs[0]]
    cropped = chain[0].cropped(first, picks.count, (height, width))
    if cropped is None:
        return
    names = {step.output: draft.fresh(f"{step.output}.cropped") for step in chain}
    if np.array_equal(picks.channels, np.arange(channels)):
        names[select.input] = select.output
        draft.merge(select, cropped)
    else:
        none = np.zeros_like(picks.rows)
        draft.put(select, replace(select, input=names[select.input], picks=replace(picks, rows=none, columns=none)))
    for step, fewer in zip(chain, (cropped, *chain[1:]), strict=True):
        name = names[step.output]
        if name != select.output:
            draft.shapes[name] = (draft.shapes[step.output][0], *picks.count)
            draft.made_up.add(name)
        draft.put(step, fewer.renamed(names))


def corner(picks: Moves) -> tuple[int, int] | None:
    """The first row and column picked, where they are the same of every channel."""
    real = picks.channels != ZERO
    rows, columns = set(picks.rows[real].tolist()), set(picks.columns[real].tolist())
    return (rows.pop(), columns.pop()) if len(rows) == len(columns) == 1 else None


def written_by(draft: Draft, tensor: str) -> list[FloatLayer]:
    """A layer and what works on each element of its result alone, up to what writes `tensor`; none that is read twice.

    Empty where there is no such layer.
    """
    chain: list[FloatLayer] = []
    while (step := draft.writer(tensor)) is not None and draft.uses(tensor) == 1:
        chain.insert(0, step)
        if not stays_in_place(step):
            return chain
        tensor = step.inputs[0]
    return []
