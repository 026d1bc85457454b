"""What a program's parts must agree in; and manifests altered in any way, which are refused in one line or run."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from hw.contract.config import preset
from hw.contract.layout import Fold, Placement
from hw.contract.program import Program, from_bytes
from hw.contract.version import CONTRACT_VERSION
from quant.base.errors import BadInput
from quant.ir.window import Window
from sim.cycles import simulate
from sim.executor import run
from tests.sim.handmade import CASES, Handmade, build


@pytest.fixture(scope="module")
def made() -> Handmade:
    return build(preset("tiny"), CASES["pointwise"])


def placed(program: Program, field: str, **values: Any) -> dict[str, Any]:
    """The first input or tensor with other values."""
    first, *rest = getattr(program, field)
    return {field: (dataclasses.replace(first, **values), *rest)}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"memory_bytes": 24577}, "memory_bytes is 24577, no multiple of 4096 up to 4294963200"),
        ({"memory_bytes": 1 << 60}, "memory_bytes is 1152921504606846976, no multiple of 4096 up to 4294963200"),
        ({"memory_bytes": 1 << 32}, "memory_bytes is 4294967296, no multiple of 4096 up to 4294963200"),
        ({"memory_bytes": 4096}, "the image has 16512 bytes, and memory_bytes is 4096"),
        ({"program_base": 32}, "program_base is 32, no multiple of 256"),
        ({"program_base": -256}, "program_base is -256, no multiple of 256"),
        ({"instructions": 600}, "600 instructions end at byte 19200, and the image has 16512"),
        ({"instructions": -1}, "-1 instructions end at byte -32, and the image has 16512"),
        ({"input_shapes": {"x": (8, 0, 5)}}, "input 'x' has the shape (8, 0, 5)"),
        ({"input_shapes": {"x": (8, 5, 6)}}, "input 'x' lies as (8, 5, 5), and its shape (8, 5, 6) makes (8, 5, 6)"),
        ({"inputs": ()}, "the inputs ['x'] are stated, and [] lie in memory"),
        ({"outputs": ("z",)}, "output 'z' is no tensor of the program"),
    ],
)
def test_parts_that_disagree(made: Handmade, values: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        dataclasses.replace(made.program, **values).validate()
    assert str(caught.value) == says


def test_places_that_disagree(made: Handmade) -> None:
    program = made.program
    twice = {"tensors": program.tensors * 2}
    other = {"inputs": (*program.inputs, dataclasses.replace(program.inputs[0], tensor="z"))}
    layer = {"layers": (dataclasses.replace(program.layers[0], output="x"),)}
    count = {"layers": (dataclasses.replace(program.layers[0], macs=-1),)}
    folds = [Window((3, 3), (1, 1), pads, (1, 1)) for pads in ((1, 1, 1, 1), (-1, 3, 1, 1), (9999, 1, 1, 1))]
    for values, says in [
        (placed(program, "tensors", address=0), "tensor 'y': lies in bytes 0 to "),
        (placed(program, "inputs", address=1 << 40), "tensor 'x': lies in bytes 1099511627776 to "),
        (
            placed(program, "inputs", fold=Fold(folds[0])),
            "input 'x' lies as (8, 5, 5), and its shape ",
        ),
        (placed(program, "inputs", fold=Fold(folds[1])), "input 'x' is folded by a window that is none: 3x3"),
        (placed(program, "inputs", fold=Fold(folds[2])), "input 'x' is folded by a window that is none: 3x3"),
        (placed(program, "inputs", fold=Fold(folds[0], (1, 2))), "input 'x' in s8.4 is surrounded by (1, 2)"),
        (placed(program, "inputs", fold=Fold(folds[0], (128,) * 8)), "input 'x' in s8.4 is surrounded by (128,"),
        (placed(program, "tensors", fold=Fold(folds[0])), "tensor 'y' is folded, as only inputs are"),
        (twice, "two tensors have one name"),
        (other, "the inputs ['x'] are stated, and ['x', 'z'] lie in memory"),
        (layer, "output of a layer 'x' is no tensor of the program"),
        (count, "layer 'conv': counts below 0"),
    ]:
        with pytest.raises(BadInput) as caught:
            dataclasses.replace(program, **values).validate()
        assert str(caught.value).startswith(says)


def test_a_batch_that_disagrees(made: Handmade) -> None:
    program, (layer,), (tensor,), (x,) = made.program, made.program.layers, made.program.tensors, made.program.inputs
    first, second = (dataclasses.replace(layer, image=image) for image in (0, 1))
    both = tuple(dataclasses.replace(tensor, image=image) for image in (0, 1))
    right = {"batch": 2, "inputs": (dataclasses.replace(x, image=0),), "tensors": both, "layers": (first, second)}
    dataclasses.replace(program, **right).validate()
    other = dataclasses.replace(second, name="other")
    for values, says in [
        ({"batch": 0}, "a run takes 0 images, and 1 to 4096 are possible"),
        ({"batch": 1 << 40}, "a run takes 1099511627776 images, and 1 to 4096 are possible"),
        ({"batch": 1}, "input 'x' is of image 0, of 1"),
        ({"inputs": (x,)}, "input 'x' lies as (8, 5, 5), and its shape (8, 5, 5) makes (8, 10, 5)"),
        ({"inputs": (dataclasses.replace(x, image=2),)}, "input 'x' is of image 2, of 2"),
        ({"tensors": both[:1]}, "tensor 'y' lies there for the images [0], of 2"),
        ({"tensors": both[::-1]}, "tensor 'y' lies there for the images [1, 0], of 2"),
        ({"tensors": (tensor,)}, "tensor 'y' has 5 rows, of 2 images"),
        ({"tensors": (both[0], dataclasses.replace(both[1], shape=(8, 4, 5)))}, "tensor 'y' has another form in "),
        ({"layers": (second, first)}, "the layers are not those of one image after the other"),
        ({"layers": (first,)}, "the layers are not those of one image after the other"),
        ({"layers": (first, other)}, "layer 'other' is another one for another image"),
    ]:
        with pytest.raises(BadInput) as caught:
            dataclasses.replace(program, **(right | values)).validate()  # type: ignore[arg-type]
        assert str(caught.value).startswith(says)


def test_a_tensor_that_nothing_stores(made: Handmade) -> None:
    """A few bytes of manifest cannot have gigabytes read."""
    large = Placement("y", 1 << 16, (8, 8192, 8192), made.program.tensors[0].fmt, tuple(range(8)))
    with pytest.raises(BadInput, match="^tensor 'y' has 536870912 bytes, and 200 are stored$"):
        dataclasses.replace(made.program, tensors=(large,), memory_bytes=1 << 31).validate()


def test_a_configuration_that_cannot_be_built(made: Handmade) -> None:
    bad = dataclasses.replace(made.program.config, name="../../x")
    with pytest.raises(BadInput, match=r"name must be up to 64 letters, digits, _ \. -, not \"\.\./\.\./x\"$"):
        from_bytes(dataclasses.replace(made.program, config=bad).to_bytes(), "net.bin")


# Altered manifests, sealed again


def sealed(program: Program, manifest: bytes) -> bytes:
    body = manifest + program.image
    config = bytes.fromhex(program.config.hash)
    return (
        struct.pack("<8sII32s32s", b"SHIFTPT1", CONTRACT_VERSION, len(manifest), config, hashlib.sha256(body).digest())
        + body
    )


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of a JSON value, itself included; of a list the first and the last."""
    yield at
    if isinstance(value, dict):
        for name in value:
            yield from paths(value[name], (*at, name))
    elif isinstance(value, list) and value:
        for k in {0, len(value) - 1}:
            yield from paths(value[k], (*at, k))


def parent(value: Any, at: tuple[Any, ...]) -> Any:
    for step in at[:-1]:
        value = value[step]
    return value


def verdict(made: Handmade, text: bytes) -> str:
    try:
        program = from_bytes(sealed(made.program, text), "net.bin")
    except BadInput as error:
        assert "\n" not in str(error) and str(error).startswith("net.bin: ") and len(str(error)) < 400
        return "refused"
    assert simulate(program).cycles > 0
    run(program, made.x)
    return "taken"


OTHERS: list[Any] = [None, True, 0, 1, -1, 3, 1 << 31, 1 << 62, 1.5, "", "x", "\x00\n", [], [1], {}, {"a": 1}, [[[]]]]


def test_every_key_removed_or_of_another_value(made: Handmade) -> None:
    manifest = json.loads(json.dumps(made.program.manifest()))
    found = {"refused": 0, "taken": 0}
    for at in paths(manifest):
        if not at:
            continue
        for other in ["removed", *OTHERS]:
            altered = copy.deepcopy(manifest)
            place = parent(altered, at)
            if other == "removed":
                del place[at[-1]]
            elif place[at[-1]] == other and type(place[at[-1]]) is type(other):
                continue
            else:
                place[at[-1]] = other
            found[verdict(made, json.dumps(altered).encode())] += 1
    assert found["refused"] > 800 and 20 < found["taken"] < 100, found


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"{}", b"[" * 100000, b'{"a":1,"a":1}', b"\xff", b'{"config": NaN}']
)
def test_texts_that_are_no_manifest(made: Handmade, text: bytes) -> None:
    assert verdict(made, text) == "refused"
