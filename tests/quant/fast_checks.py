"""The fast executor held to the reference, in every form that this processor allows."""

from __future__ import annotations

import itertools

import numpy as np

from quant.ir.network import Network
from quant.run.execute import Executor
from quant.run.fast_execute import FastExecutor
from quant.run.fast_kernels import bytes_are_exact


def extremes(network: Network) -> np.ndarray:
    """Images of the largest, of the smallest integers, of zeros, and of both ends at random."""
    fmt, shape = network.tensors[network.inputs[0]].fmt, network.input_shapes[network.inputs[0]]
    ends = np.random.default_rng(0).choice([fmt.low, fmt.high], (2, *shape))
    return np.concatenate([np.full((1, *shape), fmt.high), np.full((1, *shape), fmt.low), np.zeros((1, *shape)), ends]
                          ).astype(fmt.dtype)  # fmt: skip


FORMS = (False, True) if bytes_are_exact() else (False,)
"""Data as float32, and as bytes where the processor allows that."""


def assert_equal(network: Network, images: np.ndarray, slow: frozenset[str] = frozenset()) -> None:
    every = list(network.tensors)
    for in_bytes, keep in itertools.product(FORMS, (None, every)):  # with every tensor an output, nothing is fused
        executor = FastExecutor(network, threads=2, in_bytes=in_bytes)
        assert executor.slow == slow
        wanted, found = Executor(network).run(images, keep), executor.run(images, keep)
        assert list(found) == list(wanted)
        for name, integers in wanted.items():
            assert found[name].dtype == integers.dtype
            np.testing.assert_array_equal(found[name], integers, name)
