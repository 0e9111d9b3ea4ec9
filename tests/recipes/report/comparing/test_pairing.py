import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from compress.core.errors import InputError, UnknownName
from recipes.record import Report
from recipes.report.comparing.pairing import pair_named, paired_rows
from recipes.report.comparing.run_files import answers_file, read_run
from recipes.report.terminal import show_pairs
from tests.recipes.report.sample import quickstart

LABELS = np.arange(400) % 2


def answers(wrong: int, order: np.ndarray) -> dict[str, np.ndarray]:
    """Right but on the first `wrong` examples."""
    logits = np.eye(2, dtype=np.float32)[LABELS] * 4
    logits[:wrong] = logits[:wrong, ::-1]
    return {"row_ids": order, "logits": logits[order], "labels": LABELS[order]}


def run(directory: Path, wrong: dict[str, list[int]]) -> Path:
    """Of rows that answer so many examples wrong, one number for each seed."""
    report, rows = quickstart(), []
    for place, (name, seeds) in enumerate(wrong.items()):
        like = next(row for row in report.rows if row.id == name)
        for seed, count in enumerate(seeds):
            row = like.model_copy(update={"seed": seed, "path": f"stages/{name}-{seed}"})
            answers_file(directory, row).parent.mkdir(parents=True)
            np.savez(answers_file(directory, row), **answers(count, np.random.default_rng(place).permutation(400)))
            rows.append(row)
    report.rows = rows
    report.write(directory)
    return directory


def pair(directory: Path, one: str, other: str):
    return paired_rows(directory, read_run(directory), one, other)


def test_rows_are_paired_over_their_seeds(tmp_path: Path) -> None:
    found = pair(run(tmp_path, {"prune": [10, 20, 30], "finetune": [60, 60, 90]}), "prune", "finetune")
    assert (found.seeds, found.examples) == (3, 400)
    assert found.difference == pytest.approx((50 + 40 + 60) / 3 / 400)
    assert 0 < found.interval[0] < found.difference < found.interval[1] and found.p_value < 0.02


def test_one_seed_is_judged_as_the_report_judges(tmp_path: Path) -> None:
    directory = run(tmp_path, {"prune": [50], "finetune": [10]})
    found, console = pair(directory, "prune", "finetune"), Console(file=io.StringIO(), width=200)
    assert found.difference == pytest.approx(-0.1) and found.interval[1] < 0
    show_pairs(read_run(directory), [found], console)
    assert "prune is below finetune: " in console.file.getvalue() and "400 examples, 95 %" in console.file.getvalue()


def test_what_cannot_be_paired_is_said(tmp_path: Path) -> None:
    directory = run(tmp_path, {"prune": [50, 60], "finetune": [10]})
    with pytest.raises(InputError, match="different seeds"):
        pair(directory, "prune", "finetune")
    with pytest.raises(UnknownName, match="pruned"):
        pair(directory, "pruned", "finetune")
    (directory / "stages" / "finetune-0" / "logits.npz").unlink()
    with pytest.raises(InputError, match="not there any more"):
        pair(directory, "finetune", "prune")
    with pytest.raises(InputError, match="no run is here"):
        read_run(tmp_path / "nowhere")
    for text in ("prune", "a,b,c", "a,"):
        with pytest.raises(InputError, match="names two rows"):
            pair_named(text)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from recipes.cli.app import app

    directory = run(tmp_path, {"prune": [10, 20], "finetune": [60, 60]})
    app(["compare", str(directory), "--pair", "prune,finetune", "--pair", "finetune,prune"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "prune is above finetune: +11.2 pp" in shown and "finetune is below prune" in shown
    assert Report.read(directory).name in shown and "mean of 2 seeds" in shown
