"""The living table of the papers: what passes, what fails, what is skipped; and the document has what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import compression, lenets, marked, report, retrained
from benchmarks.compression import judged, kept, measure, measured, table
from benchmarks.goals import GOALS, Bar, Goal, Reached, Run, lost
from quant.base.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent
RUN = Run("some", "coding", "mode", (), ())
BAR = Bar("ratio", 4, "{:.1f}x", least=True)


def goal(row: str, run: Run = RUN) -> Goal:
    def reached(rows):
        own = [one for one in rows if one["row"] == row]
        return Reached({"ratio": own[0]["ratio"], "loss": own[0]["loss"]}, 0.9, "1 seed") if own else None

    return Goal("Han 2016", row, "39x", (BAR, lost(0.5)), run, reached)


def test_the_document_has_what_is_kept() -> None:
    text = marked.read(ROOT / "docs" / "compression.md", compression.MARKERS)
    assert text == table(kept(GOALS)), "python benchmarks/compression.py --write docs/compression.md"


def test_every_kept_file_of_such_figures_is_of_a_row() -> None:
    """Others keep theirs there, too."""
    runs = {(goal.run.mode, goal.run.name) for goal in GOALS}
    kept = {(json.loads(path.read_text()).get("mode"), path.stem) for path in compression.RESULTS.iterdir()}
    assert {(mode, name) for mode, name in kept if mode in dict(runs)} <= runs


@pytest.mark.parametrize(("ratio", "loss", "passed"), [(4, 0.5, True), (3.9, 0.5, False), (9, 0.51, False)])
def test_a_row_passes_by_all_its_bars(ratio: float, loss: float, passed: bool) -> None:
    found = judged(goal("a"), Reached({"ratio": ratio, "loss": loss}, 0.9, "1 seed"), "now")
    assert found.passed is passed
    cells = (
        f"Han 2016 | a | 39x | at least 4.0x, at most 0.50 points lost | {ratio:.1f}x, {loss:.2f} points lost | 90.00"
    )
    assert table([found]).splitlines()[2] == f"| {cells} | now: 1 seed | {'pass' if passed else '**fail**'} |"


def test_a_run_of_several_rows_is_made_once(tmp_path: Path) -> None:
    made = []

    def run(run: Run) -> str:
        made.append(run.name)
        rows = [{"row": "a", "ratio": 5.0, "loss": 0.1}, {"row": "b", "ratio": 5.0, "loss": 0.6}]
        report.save(tmp_path / f"{run.name}.json", run.mode, rows)
        return {"some": "", "other": "skipped: no images", "third": "broken: KeyError"}[run.name]

    other, third = RUN._replace(name="other"), RUN._replace(name="third")
    found = measured([goal("a"), goal("b"), goal("a", other), goal("a", third)], run, tmp_path)
    assert made == ["some", "other", "third"]
    assert [row.passed for row in found] == [True, False, None, False]
    ends = [line.split(" | ")[-2:] for line in table(found).splitlines()[2:]]
    assert [" ".join(end) for end in ends] == [
        "now: 1 seed pass |", "now: 1 seed **fail** |", "skipped: no images skipped |", "broken: KeyError **fail** |",
    ]  # fmt: skip


def test_a_row_of_which_nothing_is_kept_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "RESULTS", tmp_path)
    (found,) = kept([goal("a")])
    assert found.passed is False and table([found]).endswith("| not measured | **missing** |\n")


def test_rows_without_images_are_skipped_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reason = f"{tmp_path}: holds no labelled images (no load.py); --data names the folder"
    assert measure(RUN._replace(name="c"), False, tmp_path, tmp_path / "made") == f"skipped: {reason}"
    assert capfd.readouterr().err == f"error: {reason}\n"


def test_lenets_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="needs PyTorch"):
        next(lenets.measured(None))  # type: ignore[arg-type]


def test_means_over_seeds() -> None:
    row = {"row": "lenet5_mnist", "numbers": 1000, "float_top1": 0.99, "top1": 0.99, "bytes": 40}
    found = next(goal for goal in GOALS if goal.title == "LeNet-5, MNIST").reached(
        [row, row | {"bytes": 20, "top1": 0.98}]
    )
    assert found is not None and found.over == "2 seeds, 10,000 images" and found.figures["ratio"] == 150
    assert found.figures["loss"] == pytest.approx(0.5) and found.theirs == pytest.approx(0.99)


def test_retrained_rows_want_one_thing_in_both_places() -> None:
    for asked in retrained.ROWS:
        goal = next(goal for goal in GOALS if goal.run.name == f"retrained_{asked.name}")
        assert [bar.value for bar in goal.wanted if bar.figure == "loss"] == [asked.wanted]
