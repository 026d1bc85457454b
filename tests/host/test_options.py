"""Options are declared once: the command line, and the keys of what is kept, follow from the fields."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, make_dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

import pytest
import typer
from typer.testing import CliRunner

from host.comparison import CompareOptions
from host.options import MemoryOptions, command, key
from host.pipeline import RunOptions
from host.quantization import QuantizeOptions
from hw.contract.config import preset
from hw.contract.memory import Memory


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of every form that is in use."""

    source: Annotated[Path, typer.Argument(help="A file.")]
    words: Annotated[tuple[str, ...], typer.Option()] = ()
    pair: Annotated[tuple[int, ...] | None, typer.Option(parser=lambda text: tuple(map(int, text.split(","))))] = None
    memory: MemoryOptions = field(default_factory=MemoryOptions)


def call(*arguments: str) -> list[Any]:
    """What a command is called with."""
    seen: list[Any] = []
    app = typer.Typer()

    @app.command()
    @command
    def run(options: Options, out: Annotated[Path, typer.Option()], loud: bool = False) -> None:
        """Do it."""
        seen.extend((options, out, loud))

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return seen


def test_a_command_takes_the_fields_as_options() -> None:
    assert call("a.txt", "--out", "b") == [Options(source=Path("a.txt")), Path("b"), False]
    found, _, loud = call(
        "a", "--out", "b", "--words", "x", "--words", "y", "--pair", "1,2", "--latency", "9", "--shared-bus", "--loud"
    )
    memory = MemoryOptions(latency=9, shared=True)
    expected = Options(source=Path("a"), words=("x", "y"), pair=(1, 2), memory=memory)
    assert found == expected and loud
    assert isinstance(found.memory, Memory) and "Do it." in command(_documented).__doc__


@dataclass(frozen=True, kw_only=True)
class Base:
    PANEL: ClassVar = "Inherited"

    far: Annotated[int, typer.Option()] = 1
    near: Annotated[int, typer.Option()] = 1
    other: Annotated[int, typer.Option(rich_help_panel="Elsewhere")] = 1


@dataclass(frozen=True, kw_only=True)
class Derived(Base):
    own: Annotated[int, typer.Option()] = 1
    near: Annotated[int, typer.Option()] = 1


def test_help_has_a_class_own_options_first_and_inherited_ones_under_their_title() -> None:
    def run(options: Derived) -> None: ...

    found = [
        (name, get_args(parameter.annotation)[1].rich_help_panel)
        for name, parameter in signature(command(run)).parameters.items()
    ]
    assert found == [("own", None), ("near", None), ("far", "Inherited"), ("other", "Elsewhere")]


def _documented(options: Options) -> None:
    """Do it."""


@pytest.fixture
def asked(tmp_path: Path) -> QuantizeOptions:
    for name in ("net.onnx", "images.npz"):
        (tmp_path / name).write_bytes(name.encode())
    return QuantizeOptions(network=tmp_path / "net.onnx", calibration=tmp_path / "images.npz")


def test_every_option_is_part_of_the_key(asked: QuantizeOptions, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    other: dict[type, Any] = {
        bool: True,
        int: 4,
        str: "other",
        tuple: ("fc=4",),
        MemoryOptions: MemoryOptions(latency=1),
    }
    for option in fields(QuantizeOptions):
        before = getattr(asked, option.name)
        value = {"config": preset("tiny"), "input_shape": (1, 2, 3)}.get(option.name, other.get(type(before), 7))
        value = tmp_path / "other" if isinstance(before, Path) else value
        assert key(replace(asked, **{option.name: value})) != key(asked), option.name


@pytest.mark.parametrize("options", [QuantizeOptions, CompareOptions, RunOptions])
def test_an_option_that_is_added_is_part_of_the_key(options: type, tmp_path: Path) -> None:
    more = make_dataclass("More", [("added", int, 0)], bases=(options,), frozen=True, kw_only=True)
    (tmp_path / "file").write_bytes(b"content")
    given = {name: tmp_path / "file" for name in ("network", "calibration", "quantized", "images", "out")}
    given = {name: path for name, path in given.items() if name in {f.name for f in fields(more)}}
    assert key(more(**given, added=1)) != key(more(**given, added=2))
    assert key(more(**given, added=1), options) == key(more(**given, added=2), options) == key(options(**given))


def test_a_file_counts_by_name_and_content(asked: QuantizeOptions) -> None:
    before = key(asked)
    asked.network.write_bytes(b"another")
    assert key(asked) != before
    assert key(asked.network)[0] == "net.onnx"


def test_a_configuration_counts_with_its_name_and_clock() -> None:
    tiny = preset("tiny")
    assert len({str(key(c)) for c in (tiny, replace(tiny, name="mine"), replace(tiny, clock_mhz=50.0))}) == 3
