"""Work on a GPU that is launched as one.

A step of a small network is hundreds of kernels of some microseconds, and each costs Python as many to launch: so they
are recorded once, as a graph (torch.cuda.CUDAGraph), and launched together from then on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM = 3
"""Times that work is done as it is, on a stream of its own: what libraries and optimizers do at first is not it."""


class Launched:
    """A function without arguments, called again and again, which does the same to the same tensors each time.

    On a GPU it must neither wait for it nor look at a number that it computes.
    """

    def __init__(self, function: Callable[[], None], device: torch.device) -> None:
        self.function, self.device = function, device
        self._warm = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Do it."""
        if self.device.type != "cuda":
            self.function()
        elif self._warm < WARM:
            self._warm += 1
            stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                self.function()
            current.wait_stream(stream)
        else:
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph):  # runs nothing
                    self.function()
            self._graph.replay()
