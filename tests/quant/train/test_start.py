"""What was solved for before a training, kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quant.search.structure import Structure
from quant.train.checkpoint import Checkpoint
from quant.train.solved import Solved
from quant.train.start import load, save


def test_it_is_the_same_to_the_bit(tmp_path: Path, rng: np.random.Generator) -> None:
    weight, kept = rng.normal(size=(2, 3, 1, 1)).astype(np.float32), rng.random((2, 3, 1, 1)) < 0.5
    own = {"a": Structure(kept), "b": Structure(values=4), "c": Structure(ternary=True, exponents=np.arange(2))}
    start = Solved(
        own, {"a": weight}, {"a": np.array([1, -2])}, {"a": weight[:, 0, 0, 0], "d": np.zeros(0, np.float32)}
    )
    file = Checkpoint(tmp_path / "s", "key")
    assert load(file) is None
    save(file, start)
    found = load(file)
    assert found is not None and list(found.structures) == list("abc")
    for ours, theirs in (
        (found.weights, start.weights),
        (found.exponents, start.exponents),
        (found.biases, start.biases),
    ):
        assert list(ours) == list(theirs)
        for name, numbers in theirs.items():
            assert ours[name].dtype == numbers.dtype
            np.testing.assert_array_equal(ours[name], numbers)
    for name, wanted in own.items():
        held = found.structures[name]
        assert (held.values, held.ternary) == (wanted.values, wanted.ternary)
        np.testing.assert_array_equal(held.kept, wanted.kept)
        np.testing.assert_array_equal(held.exponents, wanted.exponents)


def test_another_one_and_a_damaged_one_are_none(tmp_path: Path) -> None:
    save(Checkpoint(tmp_path / "s", "key"), Solved({}, {}, {}, {}))
    assert load(Checkpoint(tmp_path / "s", "other")) is None
    (tmp_path / "s").write_bytes(b"x")
    assert load(Checkpoint(tmp_path / "s", "key")) is None
