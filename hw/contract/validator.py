"""Whether a program is one: whatever loads, runs, models or drives one relies on what is asked here, and asks nothing
of it again.

The parts of the manifest must agree with one another, with the image and with the memory that the program claims; its
instructions must be legal (`legality`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hw.contract import legality
from hw.contract.config import FETCH_BURST, INSTRUCTION_BYTES, PAGE_BYTES
from hw.contract.layout import Placement
from hw.contract.registers import LARGEST_WINDOW
from quant.base.errors import BadInput

if TYPE_CHECKING:
    from hw.contract.program import Program

MOST_IMAGES = 4096
"""Of a run."""
LARGEST_FOLD = 2048
"""Kernels, strides, dilations and pads that instructions hold are no larger, and so are those of folded inputs."""


def check(program: Program) -> None:
    """Raise BadInput, in one line, for what no engine can run."""
    program.config.derived  # noqa: B018 -- raises ConfigError
    _image(program)
    _inputs(program)
    _tensors(program)
    code = legality.Code(program)
    legality.check(program, code)
    _sizes(program, code.stored_bytes(program.config))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise BadInput(message)


def _image(program: Program) -> None:
    size, memory = len(program.image), program.memory_bytes
    _require(
        0 < memory <= LARGEST_WINDOW and memory % PAGE_BYTES == 0,
        f"memory_bytes is {memory}, no multiple of {PAGE_BYTES} up to {LARGEST_WINDOW}",
    )
    _require(size <= memory, f"the image has {size} bytes, and memory_bytes is {memory}")
    unit = FETCH_BURST * INSTRUCTION_BYTES
    base, count = program.program_base, program.instructions
    _require(base >= 0 and base % unit == 0, f"program_base is {base}, no multiple of {unit}")
    end = base + count * INSTRUCTION_BYTES
    _require(count >= 0 and end <= size, f"{count} instructions end at byte {end}, and the image has {size}")


def _inputs(program: Program) -> None:
    possible = 0 < program.batch <= MOST_IMAGES
    _require(possible, f"a run takes {program.batch} images, and 1 to {MOST_IMAGES} are possible")
    for name, shape in program.input_shapes.items():
        _require(min(shape) >= 1, f"input {name!r} has the shape {shape}")
    formats = {(p.tensor, p.fmt) for p in program.inputs}
    names = {name for name, _ in formats}
    _require(len(names) == len(formats), "an input lies in two formats")
    stated, found = sorted(program.input_shapes), sorted(names)
    _require(stated == found, f"the inputs {stated} are stated, and {found} lie in memory")
    for placement in program.inputs:
        known = placement.image is None or (program.batch > 1 and 0 <= placement.image < program.batch)
        _require(known, f"input {placement.tensor!r} is of image {placement.image}, of {program.batch}")
        held = shape = program.input_shapes[placement.tensor]
        if placement.fold is not None:
            window = placement.fold.window
            numbers = (*window.kernel, *window.stride, *window.dilation)
            usual = min(numbers) > 0 <= min(window.pads) and max(*numbers, *window.pads) <= LARGEST_FOLD
            _require(usual, f"input {placement.tensor!r} is folded by a window that is none: {window}")
            fill, fmt = placement.fold.fill, placement.fmt
            usual = not fill or (len(fill) == shape[0] and fmt.low <= min(fill) <= max(fill) <= fmt.high)
            _require(usual, f"input {placement.tensor!r} in {fmt} is surrounded by {fill}")
            held = placement.fold.shape(*shape)
        if placement.image is None:
            held = held[0], program.batch * held[1], held[2]
        _place(program, placement)
        _require(
            placement.shape == held,
            f"input {placement.tensor!r} lies as {placement.shape}, and its shape {shape} makes {held}",
        )


def _tensors(program: Program) -> None:
    for placement in program.tensors:
        _place(program, placement)
        _require(placement.fold is None, f"tensor {placement.tensor!r} is folded, as only inputs are")
    _all_images(program)
    _named(program, "output", program.outputs)
    _named(program, "output of a layer", [layer.output for layer in program.layers if layer.output])
    _turns(program)
    for layer in program.layers:
        _require(min(layer.macs, layer.read_bytes, layer.written_bytes) >= 0, f"layer {layer.name!r}: counts below 0")


def _all_images(program: Program) -> None:
    """Each tensor lies somewhere once, for every image: one by one in their order, or together."""
    images: dict[str, list[int | None]] = {}
    for placement in program.tensors:
        images.setdefault(placement.tensor, []).append(placement.image)
    each = [None] if program.batch == 1 else list(range(program.batch))
    for name, found in images.items():
        _require(len(set(found)) == len(found), "two tensors have one name")
        _require(found in ([None], each), f"tensor {name!r} lies there for the images {found}, of {program.batch}")
        places = [placement for placement in program.tensors if placement.tensor == name]
        same = len({(place.shape, place.fmt) for place in places}) == 1
        _require(same, f"tensor {name!r} has another form in another image")
        rows = places[0].shape[1]
        whole = found != [None] or rows % program.batch == 0
        _require(whole, f"tensor {name!r} has {rows} rows, of {program.batch} images")


def _turns(program: Program) -> None:
    """Layers that are run for each image: all for the first one, then the same for the next; then those for all."""
    images = [layer.image for layer in program.layers]
    each = images.count(0)
    turns = [image for image in range(program.batch if each else 0) for _ in range(each)]
    once = [None] * (len(images) - len(turns))
    whole = program.batch > 1 or not each
    _require(whole and images == turns + once, "the layers are not those of one image after the other")
    for k, layer in enumerate(program.layers[each : len(turns)], each):
        first = program.layers[k % each]
        same = (layer.name, layer.op, layer.output) == (first.name, first.op, first.output)
        _require(same, f"layer {layer.name!r} is another one for another image")


def _named(program: Program, what: str, names: Sequence[str]) -> None:
    for name in names:
        _require(name in program.placements, f"{what} {name!r} is no tensor of the program")


def _place(program: Program, placement: Placement) -> None:
    placement.check(program.config, range(len(program.image), program.memory_bytes))


def _sizes(program: Program, stored: int) -> None:
    """No tensor is larger than all that the program stores: else a few bytes of manifest would claim gigabytes."""
    given = sum(placement.size(program.config) for placement in program.inputs)  # parts of a concatenation
    for placement in program.tensors:
        words = placement.groups(program.config) * placement.parts(program.config) * math.prod(placement.shape[1:])
        size = words * program.config.derived.word_bytes
        _require(size <= stored + given, f"tensor {placement.tensor!r} has {size} bytes, and {stored} are stored")
