"""Reading files: weights that lie beside them, outputs that state no shape, inputs that leave a size open."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import onnx
import pytest

from quant import coded
from quant.onnx_file.read import files_of_weights, in_one_piece, is_coded, read_model
from quant.onnx_import import load
from tests.quant.onnx_nets import Net, checked, message


def beside(folder: Path) -> Path:
    """A network with its weights in another file, `weights.data`."""
    net = Net(2, 4, 4)
    path = folder / "net.onnx"
    model = net.model(net.conv("x", 5, 2, (3, 3), name="conv"))
    onnx.save_model(model, path, save_as_external_data=True, location="weights.data", size_threshold=0)
    return path


def test_weights_in_another_file_that_is_cut_or_missing(tmp_path: Path) -> None:
    path, data = beside(tmp_path), tmp_path / "weights.data"
    data.write_bytes(data.read_bytes()[:100])
    assert message(path).startswith(
        f"{path}: weights in weights.data cannot be read: External data length (360) exceeds"
    )
    data.unlink()
    assert message(path).startswith(f"{path}: weights in weights.data cannot be read: Data of TensorProto")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("offset", "-5", "External data offset must be non-negative"),
        ("offset", "five", "invalid literal"),
        ("length", str(1 << 60), "External data length"),
        ("location", "a" * 5000, "filesystem error"),
        ("location", "../weights.data", "Data of TensorProto"),
    ],
)
def test_weights_at_no_place(tmp_path: Path, key: str, value: str, reason: str) -> None:
    path = beside(tmp_path)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in [entry for entry in tensor.external_data if entry.key == key]:
            entry.value = value
    path.write_bytes(model.SerializeToString())
    assert f"cannot be read: {reason}" in message(path)
    assert len(files_of_weights(path)) == 1


def test_a_network_in_one_piece(tmp_path: Path) -> None:
    path = beside(tmp_path)
    whole = tmp_path / "whole.onnx"
    whole.write_bytes(in_one_piece(path)[0])
    assert whole.stat().st_size > path.stat().st_size
    assert in_one_piece(whole)[0] == whole.read_bytes()
    (tmp_path / "weights.data").unlink()
    checked(onnx.load(whole))


@pytest.mark.parametrize("typed", [True, False])
def test_outputs_without_a_shape_are_taken(typed: bool) -> None:
    net = Net(2, 4, 4)
    y = net.conv("x", 5, 2, (3, 3), name="conv")
    model = net.model(net.node("Relu", y, name="relu"))
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(y))
    if typed:
        model.graph.output[1].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    graph = checked(model)
    assert graph.outputs == ("relu", "conv")
    assert graph.output_shapes["conv"] == (5, 2, 2)


@pytest.mark.parametrize(
    ("shape", "told", "stated"),
    [
        (("H", "W"), "(H, W): state it with --input-shape <H>,<W>", (3, 12)),
        ((3, "T"), "(3, T): state it with --input-shape 3,<T>", (3, 12)),
        (("C",), "(C): state it with --input-shape <C>", (7,)),
        ((3, "H", 8), "(3, H, 8): state it with --input-shape 3,<H>,8", (3, 9, 8)),
    ],
)
def test_sizes_left_open_can_be_stated(shape: tuple[int | str, ...], told: str, stated: tuple[int, ...]) -> None:
    net = Net(*shape)
    model = net.model(net.node("Relu", "x"))
    assert message(model) == f"net: input x has no fixed size {told}"
    assert checked(model, input_shape=stated).output_shapes == {"relu0": stated}
    text = "x".join("?" if isinstance(size, str) else str(size) for size in shape)
    with_batch = "x".join(map(str, (1, *stated)))
    assert message(model, input_shape=(1, *stated)) == f"net: input x is {text}, without the batch, not {with_batch}"
    wrong = (*(size + 1 for size in stated), 2, 2)
    assert message(model, input_shape=wrong) == f"net: input x is {text}, not {'x'.join(map(str, wrong))}"


def test_an_open_size_of_one_dimension_convolved() -> None:
    net = Net(3, "T")
    model = net.model(net.conv1d("x", 4, 3, 3))
    graph = checked(model, input_shape=(3, 12))
    assert graph.output_shapes == {"conv0": (4, 10)}


def test_inputs_that_nothing_reads_are_left_out() -> None:
    net = Net(2, 4, 4)
    model = net.model(net.node("Relu", "x"), inputs=("nobody", "x"))
    assert checked(model).inputs == ("x",)


def test_several_inputs() -> None:
    net = Net(2, 4, 4)
    model = net.model(net.node("Add", net.conv("x", 3, 2), net.conv("y", 3, 2)), inputs=("x", "y"))
    assert load(model).inputs == ("x", "y")
    assert message(model, input_shape=(2, 4, 4)).endswith(
        "has 2 inputs, --input-shape is for one: fix their sizes in the file"
    )
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 3
    assert message(model).endswith("inputs of different batches: any of x, 3 of y")
    model.graph.input[1].type.tensor_type.shape.dim[2].dim_param = "H"
    assert message(model).endswith("input y has no fixed size (2, H, 4): give it one in the file")


def test_a_batch_of_zero_is_an_open_one() -> None:
    net = Net(2, 4, 4)
    model = net.model(net.node("Relu", net.conv("x", 3, 2)), batch=0)
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_value == 0
    assert checked(model).input_shapes["x"][0] == 2


def test_a_coded_file_is_the_network_that_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(2, 4, 4)
    path, small = tmp_path / "net.onnx", tmp_path / "net.coded"
    path.write_bytes(net.model(net.conv("x", 5, 2, (3, 3), name="conv")).SerializeToString())
    small.write_bytes(coded.encode(path.read_bytes()))
    assert is_coded(small) and not is_coded(path)
    assert read_model(small)[0] == read_model(path)[0] and in_one_piece(small)[0] == path.read_bytes()
    with monkeypatch.context() as patch:
        counted = Mock(wraps=coded.decode)
        patch.setattr(coded, "decode", counted)
        assert in_one_piece(small)[1] == in_one_piece(path)[1] and counted.call_count == 1
    assert files_of_weights(small) == set()
    small.write_bytes(small.read_bytes()[:-1])
    assert message(small) == f"{small}: a coded network, cut or altered: its SHA-256 is another"
