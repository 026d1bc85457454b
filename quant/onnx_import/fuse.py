"""Fusion: every simple step becomes part of a layer or a convolution of its own.

The passes run in the order of `fuse`.  A step is merged into another only where nothing else reads the
tensor between them, so that every tensor that stays equals one of the file's (`Draft.made_up` has the few
that do not).  What a layer can take into itself it says (`quant.ir.layer.FloatLayer`).
"""

from __future__ import annotations

from quant.ir.layer import Clip, non_negative_tensors
from quant.onnx_import.cropping import fold_crops
from quant.onnx_import.draft import Draft
from quant.onnx_import.folding import fold_affine, fold_into_tables, fold_selects, lift_affine
from quant.onnx_import.steps import Activation, Select, Step, ZeroPad


def fuse(draft: Draft) -> None:
    """Leave only layers of the float graph in `draft.steps`."""
    draft.drop_unread()
    fold_crops(draft)
    fold_selects(draft)
    fold_into_tables(draft)
    lift_affine(draft)
    fold_affine(draft)
    merge_padding(draft)
    for step in [*draft.every(Select), *draft.every(ZeroPad)]:
        move_by_convolution(draft, step)
    fuse_activations(draft)
    fuse_residuals(draft)


def merge_padding(draft: Draft) -> None:
    """Padding goes into every layer that reads it where that computes the same."""
    never_negative = non_negative_tensors(draft.steps)
    for pad in draft.every(ZeroPad):
        for step in draft.readers(pad.output):
            padded = step.padded(pad.pads, pad.fill, pad.input in never_negative)
            if padded is not None and step.reads_first(pad.output):
                draft.put(step, padded.renamed({pad.output: pad.input}))
                draft.merged[pad.name] = step.name
    draft.drop_unread()


def move_by_convolution(draft: Draft, step: Step) -> None:
    """A step that no layer takes becomes a convolution that only moves or clips data."""
    draft.put(step, step.as_conv(draft.shapes[step.input]))
    draft.plumbing.add(step.name)


def fuse_activations(draft: Draft) -> None:
    """An activation goes into the layer before it, through concatenations, else becomes a convolution."""
    for step in draft.every(Activation):
        before = draft.writer(step.input)
        if before is not None and takes_clip(draft, step.input, step.clip):
            apply_clip(draft, step.input, step.output, step.clip)
            draft.merge(step, before)
        else:
            move_by_convolution(draft, step)


def takes_clip(draft: Draft, tensor: str, clip: Clip) -> bool:
    """Whether the layer that writes a tensor, read once, can clip it, or what it only moves can be clipped before."""
    pending = [tensor]  # no recursion: concatenations may follow one another by the thousand
    while pending:
        tensor = pending.pop()
        step = draft.writer(tensor)
        if step is None or draft.uses(tensor) != 1:
            return False
        if step.clipped(clip) is None:
            if not step.moves:
                return False
            pending += step.inputs
    return True


def apply_clip(draft: Draft, tensor: str, name: str, clip: Clip) -> None:
    """Make the layer that writes `tensor` write it clipped, under a new name."""
    pending = [(tensor, name)]
    while pending:
        tensor, name = pending.pop()
        step = draft.writer(tensor)
        assert step is not None
        clipped = step.clipped(clip)
        if clipped is None:
            made = {source: draft.fresh(f"{source}.clipped") for source in step.inputs}
            pending += made.items()
            draft.made_up.update(made.values())
            clipped = step.of_clipped(clip).renamed(made)
        draft.put(step, clipped.renamed({tensor: name}))
        draft.shapes[name] = draft.shapes[tensor]


def fuse_residuals(draft: Draft) -> None:
    """An addition goes into a layer before it that can add, which then stands in the addition's place.

    Of two the later one takes it, but one that computes something rather than one that only moves data: the moved
    data are kept exactly by the tensor between, a sum of products is not.
    """
    for step in draft.steps:
        if step.summands is None:
            continue
        one, another = step.summands
        candidates = []
        for own, other in ((one, another), (another, one)):
            before = draft.writer(own)
            fused = None if before is None or draft.uses(own) != 1 else before.with_residual(other)
            if before is not None and fused is not None:
                order = (before.name not in draft.plumbing, draft.place(before))
                candidates.append((order, before, fused.renamed({own: step.output}).with_clip(step.clip)))
        if candidates:
            _, before, fused = max(candidates, key=lambda candidate: candidate[0])
            draft.put(before)
            draft.put(step, fused)
            draft.merged[step.name] = fused.name
