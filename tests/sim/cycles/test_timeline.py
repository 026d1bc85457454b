"""How the cycles of a run are divided among its layers."""

from __future__ import annotations

import numpy as np

from sim.cycles.timeline import share, split


def test_layers_share_all_cycles() -> None:
    end, layer = np.array([10, 30, 20, 50]), np.array([0, 1, 0, 2])
    assert split(end, layer, 3, 60).tolist() == [21, 10, 29]


def test_a_layer_is_complete_when_those_before_it_are() -> None:
    end, layer = np.array([40, 30, 50]), np.array([0, 1, 2])
    assert split(end, layer, 3, 55).tolist() == [41, 0, 14]


def test_layers_without_instructions() -> None:
    assert split(np.array([10]), np.array([1]), 3, 20).tolist() == [0, 11, 9]
    assert split(np.array([], np.int64), np.array([], np.int64), 0, 2).tolist() == []


def test_layers_that_take_turns_share_by_what_they_multiply() -> None:
    """Layers 1 to 3 run band by band, between them a pooling that multiplies nothing; 0 and 4 do not."""
    cycles = np.array([5, 90, 1, 9, 7])
    layer, taken = np.array([0, 1, 3, 1, 3, 1, 4, 4]), np.array([3, 10, 5, 10, 5, 10, 1, 1])
    assert share(cycles, layer, taken).tolist() == [5, 75, 0, 25, 7]
    assert share(cycles, layer[[0, 1, 3, 2, 6]], taken[:5]).tolist() == cycles.tolist()
    assert share(np.array([3, 4]), np.array([0, 1, 0]), np.array([0, 0, 0])).tolist() == [3, 4]
    assert share(np.array([], np.int64), np.array([], np.int64), np.array([], np.int64)).tolist() == []
