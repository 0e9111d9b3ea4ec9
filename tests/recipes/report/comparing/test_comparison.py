import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from compress.core.errors import InputError
from recipes.record import Report
from recipes.report import compare
from recipes.report.terminal import show_comparison
from tests.recipes.report.sample import quickstart

LABELS = np.arange(400) % 2


def answers(wrong: int) -> np.ndarray:
    """Logits that are right except on the first `wrong` examples."""
    logits = np.eye(2, dtype=np.float32)[LABELS] * 4
    logits[:wrong] = logits[:wrong, ::-1]
    return logits


def run(directory: Path, wrong: int, order: np.ndarray, ids: int = 0, **facts: object) -> Path:
    report = quickstart().model_copy(update=facts)
    report.rows = [row for row in report.rows if row.id in {"finetune", "prune"}]
    for row in report.rows:
        place = directory / str(row.path)
        place.mkdir(parents=True)
        np.savez(place / "logits.npz", row_ids=order + ids, logits=answers(wrong)[order], labels=LABELS[order])
    report.write(directory)
    return directory


@pytest.fixture
def order() -> np.ndarray:
    return np.arange(400)


def test_rows_of_one_id_are_paired_whatever_their_order(tmp_path: Path, order: np.ndarray) -> None:
    comparison = compare([run(tmp_path / "a", 10, order), run(tmp_path / "b", 50, order[::-1])])
    assert [(line.row.id, line.run) for line in comparison.lines] == [
        ("finetune", "a"), ("finetune", "b"), ("prune", "a"), ("prune", "b"),
    ]  # fmt: skip
    paired = comparison.lines[3].paired
    assert paired is not None and paired.difference == pytest.approx(-0.1)
    assert (paired.broken, paired.fixed) == (40, 0)
    assert paired.difference_interval is not None and paired.difference_interval[1] < 0
    assert comparison.lines[2].paired is None


def test_other_examples_are_not_paired(tmp_path: Path, order: np.ndarray) -> None:
    comparison = compare([run(tmp_path / "a", 10, order), run(tmp_path / "b", 50, order, ids=1)])
    assert comparison.lines[1].paired is None
    assert comparison.lines[1].reason == "not paired: judged on other examples"


def test_other_data_and_lost_logits_are_said(tmp_path: Path, order: np.ndarray) -> None:
    first = run(tmp_path / "a", 10, order)
    task = {"metric": "accuracy", "parts": {"evaluation": {"rows": 400, "fingerprint": "other"}}}
    assert compare([first, run(tmp_path / "b", 5, order, task=task)]).lines[1].reason.endswith("data differ")
    third = run(tmp_path / "c", 5, order)
    (third / "stages/03-prune/logits.npz").unlink()
    assert "03-prune/logits.npz" in compare([first, third]).lines[3].reason


def test_other_machines_are_said(tmp_path: Path, order: np.ndarray) -> None:
    other = run(tmp_path / "b", 5, order, environment={"cpu": "another"})
    assert "times do not compare" in compare([run(tmp_path / "a", 10, order), other]).notes[0]


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal(tmp_path: Path, order: np.ndarray, width: int) -> None:
    out = io.StringIO()
    comparison = compare([run(tmp_path / "first", 10, order), run(tmp_path / "second", 50, order)])
    show_comparison(comparison, Console(file=out, width=width, highlight=False))
    assert max(map(len, out.getvalue().splitlines())) <= width
    assert "−10.0 pp" in out.getvalue() and "to first" in out.getvalue()


def test_a_directory_without_a_report_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no report\.json"):
        compare([tmp_path])
    with pytest.raises(InputError, match="nothing to compare"):
        compare([])


def test_equal_names_are_told_apart_by_their_paths(tmp_path: Path, order: np.ndarray) -> None:
    runs = [run(tmp_path / "x" / "same", 1, order), run(tmp_path / "y" / "same", 1, order)]
    assert compare(runs).runs == (str(runs[0]), str(runs[1]))
    assert isinstance(compare(runs).reports[0], Report)


def test_labels_in_another_order_are_the_same_examples(tmp_path: Path, order: np.ndarray) -> None:
    def task(labels: list[str], fingerprint: str, examples: str = "same") -> dict[str, object]:
        part = {"rows": 400, "fingerprint": fingerprint, "examples": examples}
        return {"metric": "accuracy", "labels": labels, "parts": {"evaluation": part}}

    first = run(tmp_path / "a", 10, order, task=task(["no", "yes"], "one"))
    second = run(tmp_path / "b", 50, order, task=task(["yes", "no"], "other"))
    for file in second.glob("**/logits.npz"):
        saved = dict(np.load(file))
        np.savez(file, row_ids=saved["row_ids"], logits=saved["logits"][:, ::-1], labels=1 - saved["labels"])
    paired = compare([first, second]).lines[1].paired
    assert paired is not None and paired.difference == pytest.approx(-0.1)
    third = run(tmp_path / "c", 5, order, task=task(["no", "yes"], "one", examples="others"))
    assert compare([first, third]).lines[1].reason.endswith("data differ")
