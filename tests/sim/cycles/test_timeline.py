"""How the cycles of a run are divided among its layers."""

from __future__ import annotations

import numpy as np

from sim.cycles.timeline import split


def test_layers_share_all_cycles() -> None:
    end, layer = np.array([10, 30, 20, 50]), np.array([0, 1, 0, 2])
    assert split(end, layer, 3, 60).tolist() == [21, 10, 29]


def test_a_layer_is_complete_when_those_before_it_are() -> None:
    end, layer = np.array([40, 30, 50]), np.array([0, 1, 2])
    assert split(end, layer, 3, 55).tolist() == [41, 0, 14]


def test_layers_without_instructions() -> None:
    assert split(np.array([10]), np.array([1]), 3, 20).tolist() == [0, 11, 9]
    assert split(np.array([], np.int64), np.array([], np.int64), 0, 2).tolist() == []
