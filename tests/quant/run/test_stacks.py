"""Arrays kept by images: the same in a file as in memory, several in one, and a full disk in one line."""

from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.run import stacks as module
from quant.run.stacks import Applied, Stack, stack, stacks

SHAPES = {"one": (7, 3, 4), "none": (7, 0), "other": (5, 11)}


@pytest.mark.parametrize("memory", [module.MEMORY, 0])
@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint16])
def test_what_is_written_is_read(monkeypatch, rng, memory, dtype):
    monkeypatch.setattr(module, "MEMORY", memory)
    made = stacks(SHAPES, np.dtype(dtype))
    wanted = {name: rng.integers(0, 100, shape).astype(dtype) for name, shape in SHAPES.items()}
    for start in range(0, 7, 3):  # in turns, as a network writes its tensors
        for name, array in wanted.items():
            part = slice(start, min(start + 3, len(array)))
            if part.start < part.stop:
                made[name][part] = array[part]
    for name, array in wanted.items():
        assert isinstance(made[name], np.ndarray if memory else Stack)
        assert len(made[name]) == len(array) and made[name].shape == array.shape
        for part in (slice(None), slice(2, 5), slice(4, 90), slice(3, 3)):
            found = made[name][part]
            assert found.dtype == dtype and np.array_equal(found, array[part])


def test_what_is_done_to_an_array_is_done_to_its_parts():
    array = np.arange(24.0).reshape(4, 6)
    doubled = Applied(array, lambda values: values * 2)
    assert doubled.shape == (4, 6) and len(doubled) == 4
    assert np.array_equal(doubled[1:3], array[1:3] * 2)


def test_a_full_disk_is_one_line():
    with open("/dev/full", "r+b", buffering=0) as file, pytest.raises(BadInput, match="no room for temporary data in"):
        Stack(file, 0, (4, 100), np.dtype(np.float32))[slice(0, 4)] = np.zeros((4, 100), np.float32)


def test_no_place_for_a_file_is_one_line(monkeypatch):
    monkeypatch.setattr(module, "MEMORY", 0)
    monkeypatch.setattr(module.tempfile, "tempdir", "/nowhere")
    with pytest.raises(BadInput, match="no temporary file in /nowhere"):
        stack((4, 100), np.dtype(np.float32))
