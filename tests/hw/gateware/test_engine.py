"""Every way in which a run of the engine can end, and that a reset leaves nothing of it behind."""

from functools import partial

import pytest

from hw.contract.config import AcceleratorConfig
from hw.gateware import engine
from hw.gateware.tokens import Semaphores
from tests.hw.gateware.helpers.build import run

CONFIG = AcceleratorConfig(
    "errors", 4, 4, 32, max_burst=16, partial_sum_depth=16, activation_depth=256, weight_depth=64, residual_depth=64,
    output_depth=64, pool_depth=16, pooled_depth=64, queue_depth=4, fetch_depth=8, read_outstanding=4,
    write_outstanding=2,
)  # fmt: skip

TOKEN_BITS = 4
"""Narrower semaphores than the engine has, so that a short program gives one token too many."""


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "Semaphores", partial(Semaphores, TOKEN_BITS))
    run(engine.Engine(CONFIG), "engine_errors", "cocotb_engine", config=CONFIG, token_bits=TOKEN_BITS)
