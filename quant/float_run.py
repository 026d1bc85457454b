"""The float network run in ONNX Runtime, every tensor of it, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quant.float_onnx import float_model
from quant.graph import FloatGraph
from quant.onnx_import.verify import session

BATCH_BYTES = 128 << 20
"""Images are taken in batches whose tensors together need about this much memory."""


class FloatRunner:
    """A float graph in ONNX Runtime.  Raises BadInput where ONNX Runtime refuses it."""

    def __init__(self, graph: FloatGraph) -> None:
        self.graph = graph
        self._session = session(float_model(graph), graph.name)
        elements = sum(int(np.prod(shape)) for shape in graph.shapes.values())
        self.batch = max(1, BATCH_BYTES // (4 * elements))

    def run(
        self, images: np.ndarray, keep: tuple[str, ...] | None = None
    ) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
        """All tensors, the input among them, of one batch of images after another.

        images: float32 (N, C, H, W).  keep: names of the tensors to compute, all when None.
        Yields which images, and float32 (n, C, H, W) by name.
        """
        names = [layer.output for layer in self.graph.layers if keep is None or layer.output in keep]
        for start in range(0, len(images), self.batch):
            part = slice(start, min(start + self.batch, len(images)))
            feed = np.ascontiguousarray(images[part], np.float32)
            tensors = dict(zip(names, self._session.run(names, {self.graph.input: feed}), strict=True))
            if keep is None or self.graph.input in keep:
                tensors[self.graph.input] = feed
            yield part, tensors
