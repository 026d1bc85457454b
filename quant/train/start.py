"""What was solved for before a training, kept beside its checkpoint: a training that goes on does not solve again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from quant.base.errors import BadInput
from quant.search.structure import Structure
from quant.train.checkpoint import Checkpoint
from quant.train.solved import Solved


def save(file: Checkpoint, start: Solved) -> None:
    """Keep it."""
    structures = {
        name: {"kept": own.kept, "values": own.values, "ternary": own.ternary, "exponents": own.exponents}
        for name, own in start.structures.items()
    }
    state = {"weights": start.weights, "exponents": start.exponents, "biases": start.biases, "structures": structures}
    file.save(_turned(state, np.ndarray, torch.from_numpy))


def load(file: Checkpoint) -> Solved | None:
    """What was kept, to the bit; None where nothing was, or the file is of something else, or damaged."""
    try:
        state = file.load()
    except BadInput:
        return None
    if state is None:
        return None
    held = _turned(state, torch.Tensor, lambda tensor: tensor.numpy())
    structures = {name: Structure(**own) for name, own in held["structures"].items()}
    return Solved(structures, held["weights"], held["exponents"], held["biases"])


def _turned(value: Any, kind: type, turn: Any) -> Any:
    """The same dictionaries, with each value of a kind turned into another."""
    if isinstance(value, Mapping):
        return {name: _turned(item, kind, turn) for name, item in value.items()}
    return turn(value) if isinstance(value, kind) else value
