"""ONNX Runtime as this project starts it: on the processor, quiet, its refusals in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime

from quant.base.errors import BadInput, first_line
from quant.onnx_file.weights import Beside, all_beside


class Session:
    """A model in ONNX Runtime.

    beside: what its stubs stand for (`quant.onnx_file.weights`), unless a file holds it.  label: how messages call it.
    threads: how many it uses, 0 for one on each core.  optimized: whether its graph is, or runs node by node as it
    stands; fused: whether optimizing may join QuantizeLinear and DequantizeLinear to what stands between them.
    Raises BadInput where ONNX Runtime refuses the model, here or when it runs.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        label: str,
        *,
        beside: Beside | None = None,
        threads: int = 0,
        optimized: bool = True,
        fused: bool = True,
    ) -> None:
        self.label = label
        self._beside = all_beside(model) | (beside or {})  # ONNX Runtime reads them here as long as it runs
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its errors are raised, and need not be printed too
        options.intra_op_num_threads = threads
        if not optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if not fused:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        if self._beside:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._beside.values()]
            options.add_external_initializers(list(self._beside), values)
            for name, value in zip(self._beside, values, strict=True):
                options.add_initializer(name, value)  # the copy that it makes of an external one is dropped for this
            options.add_session_config_entry("session.disable_prepacking", "1")  # which would copy them
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own exception classes share no base but this
            raise self._refusal(error) from error

    def run(self, names: Sequence[str] | None, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of these names, all when None, from the inputs by name."""
        try:
            return self._session.run(None if names is None else list(names), dict(feed))
        except Exception as error:  # as above
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> BadInput:
        return BadInput(f"{self.label}: ONNX Runtime cannot run it: {first_line(error)}")
