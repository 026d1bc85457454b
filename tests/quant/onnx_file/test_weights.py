"""Large weights beside their model: read where they lie in the file, and the same to whoever asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant.base import wire
from quant.base.errors import BadInput
from quant.onnx_file import weights
from quant.onnx_file.read import read_model
from quant.run.session import Session
from tests.quant.onnx_nets import message

LARGE = np.random.default_rng(0).normal(size=(600, 1000)).astype(np.float32)


def model(**changes: TensorProto) -> onnx.ModelProto:
    """A fully connected layer and a smaller one behind it; changes: other initializers by name."""
    arrays = {"w": LARGE, "b": np.arange(600, dtype=np.float32), "v": LARGE[:20, :600]}
    tensors = {name: numpy_helper.from_array(array, name) for name, array in arrays.items()} | changes
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1),
        helper.make_node("Gemm", ["h", "v"], ["y"], transB=1),
    ]
    infos = [helper.make_tensor_value_info(name, 1, ["N", size]) for name, size in (("x", 1000), ("y", 20))]
    graph = helper.make_graph(nodes, "net", infos[:1], infos[1:], list(tensors.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(model(), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_only_large_weights_are_left_in_the_file(path: Path) -> None:
    found, _ = read_model(path)
    tensors = {tensor.name: tensor for tensor in found.graph.initializer}
    assert [name for name, tensor in tensors.items() if weights.is_stub(tensor)] == ["w"]
    assert found.ByteSize() < 100_000
    for tensor in onnx.load(path).graph.initializer:
        assert np.array_equal(weights.array_of(tensors[tensor.name]), numpy_helper.to_array(tensor))
    assert list(weights.all_beside(found)) == ["w"]


def test_all_else_of_the_file_is_as_it_was(path: Path) -> None:
    found, _ = read_model(path)
    assert weights.whole(found).SerializeToString() == onnx.load(path).SerializeToString()


def test_it_runs_as_the_whole_model_does(path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(3, 1000)).astype(np.float32)
    found, whole = (Session(one, "net").run(None, {"x": x})[0] for one in (read_model(path)[0], onnx.load(path)))
    assert np.abs(found - whole).max() < 1e-5 * np.abs(whole).max()


def test_what_lies_otherwise_stays_in_the_model(tmp_path: Path) -> None:
    numbers = TensorProto(name="w", dims=LARGE.shape, data_type=TensorProto.FLOAT)
    numbers.float_data.extend(LARGE.reshape(-1).tolist())
    onnx.save(model(w=numbers), tmp_path / "net.onnx")
    found, places = weights.parse(tmp_path / "net.onnx")
    assert not places and found == model(w=numbers)


def test_a_shape_of_another_size_is_refused(tmp_path: Path) -> None:
    wrong = numpy_helper.from_array(LARGE, "w")
    wrong.dims[0] = 599
    onnx.save(model(w=wrong), tmp_path / "net.onnx")
    assert "w" in message(tmp_path / "net.onnx")


def test_files_cut_anywhere_are_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in (0, 1, 30, 3000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert message(path) == f"{path}: not an ONNX file, or truncated"


@pytest.mark.parametrize("start", [b"", b"\x32\x80\x80\x80\x80\x10", b"\x08\x08" * 1001], ids=["0", "long", "many"])
def test_large_files_that_are_no_networks_are_not_read(
    start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MOST_FIELDS", 1000)
    with (tmp_path / "net.onnx").open("wb") as file:
        file.write(start)
        file.truncate(8 << 30)
    assert message(tmp_path / "net.onnx").endswith("net.onnx: not an ONNX file, or truncated")


def test_a_file_that_is_gone_is_one_line(path: Path) -> None:
    found, _ = read_model(path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(BadInput, match="was cut while it was read"):
        weights.all_beside(found)
    path.unlink()
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        weights.all_beside(found)


def test_computed_weights_stand_beside_where_they_may() -> None:
    beside: weights.Beside = {}
    assert weights.constant(LARGE, "w", None) == numpy_helper.from_array(LARGE, "w")
    assert weights.constant(LARGE[:10], "v", beside) == numpy_helper.from_array(LARGE[:10], "v") and not beside
    found = Session(model(w=weights.constant(LARGE, "w", beside)), "net", beside=beside)
    assert beside["w"] is LARGE
    zeros = np.zeros((1, 1000), np.float32)
    assert np.allclose(found.run(["y"], {"x": zeros})[0], LARGE[:20, :600] @ np.arange(600), rtol=1e-4)
