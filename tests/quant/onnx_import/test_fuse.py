"""Fusion, a pass at a time, on drafts made by hand."""

from __future__ import annotations

import numpy as np

from quant.ir.layer import Clip
from quant.ir.window import Window
from quant.kinds.add import FloatAdd
from quant.kinds.concat import Concat
from quant.kinds.conv import FloatConv, float_convolution
from quant.kinds.pool import FloatPool
from quant.onnx_import.draft import Draft
from quant.onnx_import.fuse import fuse, fuse_activations, fuse_residuals, merge_padding
from quant.onnx_import.steps import Activation, Affine, Select, Step, ZeroPad
from quant.onnx_import.views import ZERO, Moves

SHAPE = (2, 4, 4)


def conv(source: str, output: str) -> FloatConv:
    weight = np.random.default_rng(0).normal(size=(2, 2, 1, 1)).astype(np.float32)
    return FloatConv(output, source, output, weight, np.zeros(2, np.float32), Window(), 1)


def draft(*steps: FloatConv | FloatAdd | FloatPool | Concat | Step, outputs: tuple[str, ...] = ("y",)) -> Draft:
    shapes = {tensor: SHAPE for step in steps for tensor in (*step.inputs, step.output)}
    return Draft(steps=list(steps), shapes=shapes, outputs=outputs)


def test_a_clip_goes_through_what_only_moves_data() -> None:
    made = draft(
        conv("x", "a"), conv("x", "b"), Concat("y", ("a", "b"), "joined"), Activation("r", "joined", "y", (0, 1))
    )
    fuse_activations(made)
    assert [(step.name, step.output, step.clip) for step in made.steps] == [
        ("a", "a.clipped", (0, 1)),
        ("b", "b.clipped", (0, 1)),
        ("y", "y", (None, None)),
    ]
    assert (made.became("r"), made.made_up) == ("y", {"a.clipped", "b.clipped"})


def test_a_clip_goes_through_a_thousand_concatenations() -> None:
    steps: list[FloatConv | Concat | Step] = [conv("x", "t0")]
    for index in range(1000):
        steps += [conv("x", f"c{index}"), Concat(f"j{index}", (f"t{index}", f"c{index}"), f"t{index + 1}")]
    made = draft(*steps, Activation("r", "t1000", "y", (0, 1)))
    fuse_activations(made)
    clips = [step.clip for step in made.steps if isinstance(step, FloatConv)]
    assert clips == [(0, 1)] * 1001 and made.became("r") == "j999"


def test_a_clip_of_what_something_else_reads_is_a_convolution() -> None:
    made = draft(conv("x", "a"), Activation("r", "a", "y", (0, None)), outputs=("a", "y"))
    fuse_activations(made)
    layer = float_convolution(made.steps[1])
    assert layer is not None and (layer.groups, layer.clip) == (2, (0, None))
    assert made.plumbing == {"r"}


def test_a_sum_goes_into_the_later_convolution_that_computes_something() -> None:
    made = draft(conv("x", "a"), conv("x", "b"), FloatAdd("sum", ("a", "b"), "y", (0, None)))
    fuse_residuals(made)
    layer = float_convolution(made.steps[1])
    assert layer is not None and (layer.name, layer.output, layer.residual, layer.clip) == ("b", "y", "a", (0, None))
    made = draft(conv("x", "a"), conv("x", "b"), FloatAdd("sum", ("a", "b"), "y"))
    made.plumbing.add("b")
    fuse_residuals(made)
    assert [(step.name, step.inputs) for step in made.steps] == [("b", ("x",)), ("a", ("x", "b"))]


def test_padding_of_zeros_goes_into_a_maximum_of_what_is_never_negative() -> None:
    def steps(clip: Clip) -> Draft:
        pool = FloatPool("y", "padded", "y", "max", Window((2, 2)))
        return draft(Activation("r", "x", "r", clip), ZeroPad("pad", "r", "padded", (0, 0, 1, 1)), pool)

    one, other = steps((0, None)), steps((None, 6))
    for made in (one, other):
        merge_padding(made)
    assert [step.name for step in one.steps] == ["r", "y"] and one.steps[1].inputs == ("r",)
    assert [step.name for step in other.steps] == ["r", "pad", "y"]


def test_what_no_layer_takes_is_a_convolution_that_does_the_same() -> None:
    picks = Moves(np.array([1, ZERO]), np.zeros(2, np.int64), np.zeros(2, np.int64), (1, 1), (4, 4))
    select, affine = Select("pick", "x", "a", picks), Affine("scale", "a", "b", np.array([2.0, 3.0]), np.ones(2))
    made = draft(select, affine, ZeroPad("y", "b", "y", (1, 0, 0, 0)))
    fuse(made)
    layers = [float_convolution(step) for step in made.steps]
    assert all(layer is not None for layer in layers)
    assert [(layer.name, layer.groups, layer.window.pads) for layer in layers if layer] == [
        ("pick", 1, (0, 0, 0, 0)),
        ("scale", 2, (0, 0, 0, 0)),
        ("y", 2, (1, 0, 0, 0)),
    ]
