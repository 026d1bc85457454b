"""Where mutants are, and that a draw stays what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.__main__ import of_directed
from tests.mutants.equivalents import EQUIVALENT
from tests.mutants.sites import ROOMS, draw, mutants, of_file

ROOT = Path(__file__).resolve().parents[2]
SOURCE = b'''"""Not 1."""


def f(a: int = 3, b: "0 + 1" = 7) -> int:
    if a < 2 and not b:
        raise ValueError(a + 1)
    m.d.comb += x.eq(Mux(a, 0, b))
    with m.If(a & ~b):
        a += 1
    return -a * min(a, True) if b else (a ==
                                        b)
'''


def after(source: bytes) -> set[str]:
    return {mutant.after for mutant in of_file("models", "a.py", source)}


def test_every_slip() -> None:
    assert after(b"x = a < 3\n") == {"x = (a <= 3)", "x = a < 4", "x = a < 2"}
    assert after(b"x = a & b\n") == {"x = ((a) | (b))", "x = (a)", "x = (b)"}
    assert after(b"x = not a or b\n") == {"x = (a) or b", "x = (b)", "x = (not a)"}
    assert after(b"m.d.sync += x.eq(y)\n") == {"m.d.sync += []"}
    assert after(b"x -= y\n") == {"x += y"}
    assert after(b"y = Mux(a, b, c) if d else e.any()\n") == {
        "y = Mux(a, c, b) if d else e.any()",
        "y = Mux(a, b, c) if d else e.all()",
        "y = ((e.any()) if (d) else (Mux(a, b, c)))",
    }
    assert after(b"y = max(a, b) - False\n") == {
        "y = min(a, b) - False",
        "y = max(a, b) - True",
        "y = ((max(a, b)) + (False))",
    }


def test_texts_types_and_messages_are_left_alone() -> None:
    found = of_file("models", "a.py", SOURCE)
    assert not any('"""' in mutant.before or "raise" in mutant.before for mutant in found)
    assert {mutant.after for mutant in found if mutant.before.startswith("def")} == {
        f'def f(a: int = {a}, b: "0 + 1" = {b}) -> int:' for a, b in ((4, 7), (2, 7), (3, 8), (3, 6))
    }
    for mutant in found:
        altered = mutant.apply(SOURCE)
        compile(altered, "a.py", "exec")
        assert altered != SOURCE and len(altered.splitlines()) <= len(SOURCE.splitlines())


def test_a_name_survives_a_change_elsewhere() -> None:
    names = [mutant.name for mutant in of_file("models", "a.py", SOURCE)]
    moved = of_file("models", "a.py", SOURCE.replace(b'"""Not 1."""', b'"""Not 1."""\nz = q\n'))
    assert [mutant.name for mutant in moved] == names and len(set(names)) == len(names)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for folder in ("hw/gateware", "hw/contract", "sim", "host/compiler", "quant/search"):
        (root / folder).mkdir(parents=True)
        (root / folder / "a.py").write_bytes(SOURCE)
    return root


def test_a_draw_takes_the_rooms_in_turn_and_begins_as_a_shorter_one(tree: Path) -> None:
    drawn = draw(tree, 1, 20)
    assert [mutant.room for mutant in drawn[:5]] == ["gateware", "contract", "models", "compiler", "search"]
    assert draw(tree, 1, 7) == drawn[:7] and draw(tree, 2, 20) != drawn
    (tree / "sim" / "b.py").write_text("x = 1\n")
    assert [mutant for mutant in draw(tree, 1, 22) if mutant.room != "models"][:14] == [
        mutant for mutant in drawn if mutant.room != "models"
    ][:14]


def test_equivalents_are_mutants_still() -> None:
    rooms = {room for room, folders in ROOMS.items() for file, _, _ in EQUIVALENT if str(Path(file).parent) in folders}
    known = {(mutant.file, mutant.before, mutant.after) for room in rooms for mutant in mutants(ROOT, room)}
    assert not [key for key in EQUIVALENT if key not in known]
    assert all(len(reason.split()) > 4 for reason in EQUIVALENT.values())


def test_directed_texts_stand_once_and_their_tests_are_there() -> None:
    for task in of_directed():  # raises where a text does not
        source = (ROOT / task.mutant.file).read_bytes()
        altered = task.mutant.apply(source)
        compile(altered, task.mutant.file, "exec")
        assert altered != source and task.first and all((ROOT / test).is_file() for test in task.first)
