"""From a file of texts to a small, measured model: an own model, own columns, own labels.

    python examples/own_data.py [MODEL_DIRECTORY] [OUTPUT_DIRECTORY]

The recipe is written in Python here; the same mapping as a YAML file runs with `trimformer run FILE`.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

from tiny_model import write_tiny_model

from recipes.engine.run import run
from recipes.file.recipe import Recipe
from recipes.record import Report

REQUESTS = {
    "billing": ("I was charged twice in {}", "the invoice of {} is wrong", "please refund what I paid in {}"),
    "delivery": ("my parcel of {} has not arrived", "the parcel from {} came damaged", "where is my order of {}"),
    "account": (
        "I have not been able to log in since {}",
        "my password stopped working in {}",
        "close my account in {}",
    ),
}
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October"]


def write_requests(path: Path, months: list[str]) -> Path:
    """A csv file with the columns `body` and `team`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "team"])
        writer.writerows(
            (form.format(month), team) for month in months for team, forms in REQUESTS.items() for form in forms
        )
    return path


def make_recipe(model: Path, data: Path) -> Recipe:
    """Fine-tune, then drop half of the layers. Labels that are names become classes, sorted.

    The plan suits a model of random weights and 63 rows; a pretrained model wants 3 epochs at 5e-5.
    """
    train = {"epochs": 20, "learning_rate": 3e-3, "batch_size": 8}
    return Recipe.parse(
        {
            "name": "requests",
            "model": str(model),
            "task": {"text_classification": {"data": str(data), "text": "body", "label": "team", "evaluation": "test"}},
            "stages": [
                {"finetune": {"method": "full", "train": train}},
                {"distill": {"student": {"layers": 2}, "train": train}},
            ],
        }
    )


def show(report: Report) -> None:
    for row in report.rows:
        if row.size and row.quality:
            low, high = row.quality.interval
            print(
                f"{row.id:10} {row.size.parameters:>8,} parameters   {row.quality.metric} {row.quality.value:.3f}"
                f"   95 % interval {low:.3f} to {high:.3f}"
            )


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = work / "requests"
        data.mkdir()
        write_requests(data / "train.csv", MONTHS[:7])
        write_requests(data / "test.csv", MONTHS[7:])
        texts = (data / "train.csv").read_text("utf-8").splitlines()
        model = Path(arguments[0]) if arguments else write_tiny_model(work / "model", texts)
        out = Path(arguments[1]) if len(arguments) > 1 else work / "run"
        show(run(make_recipe(model, data), out=out))


if __name__ == "__main__":
    main(sys.argv[1:])
