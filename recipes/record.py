"""Report as plain data: `report.json` is this, and nothing else. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from compress.core.files import write_whole
from compress.core.stage.exhibit import Exhibit
from recipes.sealed import sealed_text, unsealed

__all__ = [
    "BudgetLine",
    "ChangedInput",
    "Cost",
    "Interval",
    "Pair",
    "PartQuality",
    "Quality",
    "Record",
    "Report",
    "Row",
    "Size",
    "Speed",
]

Interval = tuple[float, float]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Size(Record):
    """Bytes of the model's files (config and weights; MB is 10^6), the tokenizer's apart; parameters, each once.

    Where a delta was saved on a base, `bytes` is both and `delta_bytes` the delta alone. The parameters of an export
    are those of its PyTorch model; None where the export does not say them.
    """

    bytes: int
    delta_bytes: int | None = None
    tokenizer_bytes: int = 0
    parameters: int | None = None
    nonzero_parameters: int | None = None
    embedding_parameters: int | None = None


class Speed(Record):
    """One batch size and length. `ratio`: baseline in PyTorch fp32 eager over this row, interleaved in one process;
    `runtime_ratio`: the uncompressed model in this row's runtime, at its default precision, over this row."""

    batch_size: int
    sequence_length: int | Literal["data"]
    median_seconds: float
    p95_seconds: float
    examples_per_second: float
    ratio: float | None = None
    ratio_interval: Interval | None = None
    runtime_ratio: float | None = None
    runtime_ratio_interval: Interval | None = None
    repeats: int
    threads: int
    device: str = "cpu"


class ChangedInput(Record):
    """An evaluation example whose prediction differs from the baseline's."""

    row_id: int
    text: str
    label: str
    before: str
    after: str
    fixed: bool


class PartQuality(Record):
    """The same measures on one part of the evaluation split (`validation` of `validation+test`)."""

    value: float
    interval: Interval
    difference: float | None = None
    difference_interval: Interval | None = None
    p_value: float | None = None
    examples: int


class Quality(PartQuality):
    """The task's metric on the whole evaluation split. `difference` is this row less the baseline, paired.

    `smallest_detectable`: the smallest difference that this split could show (80 % power, 5 % level, at the observed
    disagreement). `fixed` and `broken` count inputs whose answer turned right or wrong; `agreement` is top-1 with the
    baseline, `kl` the mean KL divergence from it in nats. `constant` is the best score of one answer for every row,
    `commonest` the share of items that were given the commonest answer, `accuracy` the share of right ones where the
    metric is another.
    """

    metric: str
    test: str | None = None
    smallest_detectable: float | None = None
    agreement: float | None = None
    kl: float | None = None
    constant: float | None = None
    commonest: float | None = None
    accuracy: float | None = None
    fixed: int | None = None
    broken: int | None = None
    parts: dict[str, PartQuality] = Field(default_factory=dict)
    select_value: float | None = None

    @property
    def beats_a_constant(self) -> bool:
        """Whether the score is shown to be above that of one answer for every row, or nothing says what that is."""
        return self.constant is None or self.interval[0] > self.constant


class Pair(Record):
    """Two rows that are neighbours by their metric: the difference on the same examples, the mean over the seeds."""

    better: str
    worse: str
    difference: float
    interval: Interval
    p_value: float
    seeds: int
    examples: int


class Cost(Record):
    """Cost of the stage. `peak_bytes`: the device's; on the CPU the high-water mark of the process, reset before the
    stage, of which `import_bytes` were there before. FLOPs count a multiply-add as two."""

    seconds: float
    peak_bytes: int | None = None
    import_bytes: int | None = None
    trained_parameters: int = 0
    training_flops: float | None = None
    energy_kwh: float | None = None


class Row(Record):
    """One stage and seed. In `check`, the predictions: no quality, no speed."""

    id: str
    stage: str
    start: str | None = None
    seed: int | None = None
    runtime: str = "pytorch"
    precision: str = "fp32"
    path: str | None = None
    baseline: bool = False
    size: Size | None = None
    flops: float | None = None
    """Of one forward pass of one example at the task's max length."""
    speed: list[Speed] = Field(default_factory=list)
    load_seconds: float | None = None
    resident_bytes: int | None = None
    quality: Quality | None = None
    cost: Cost | None = None
    sha256: str | None = None
    identity: str | None = None
    reused: bool = Field(False, exclude=True)
    usage: str = ""
    """Lines of Python that open the row's directory and compute an answer."""
    notes: list[str] = Field(default_factory=list)
    facts: dict[str, Any] = Field(default_factory=dict)
    cut: dict[str, Any] = Field(default_factory=dict)
    """What was cut: `{"heads": {"kept": [[0, 3], ...], "of": 12}}`, the same for neurons, `{"layers": {...}}`."""
    exhibits: list[Exhibit] = Field(default_factory=list)
    """Figures and tables that the stage gives to the report."""
    changed_inputs: list[ChangedInput] = Field(default_factory=list)


class BudgetLine(Record):
    """One line of the recipe's budget, judged on the row that *select* or the recipe chose."""

    name: str
    asked: float
    measured: float | None
    row: str | None
    verdict: Literal["met", "missed", "not decidable"]
    reason: str = ""


class Report(Record):
    """Report of a run: the content of `report.json`."""

    format: int = 1
    name: str
    recipe: dict[str, Any]
    environment: dict[str, Any] = Field(default_factory=dict)
    task: dict[str, Any] = Field(default_factory=dict)
    """name, metric, and for each part: rows, fingerprint."""
    rows: list[Row] = Field(default_factory=list)
    pairs: list[Pair] = Field(default_factory=list)
    """Fine-tuned rows from the best to the worst, each with the next; where there are three or more."""
    budget: list[BudgetLine] = Field(default_factory=list)
    seconds: dict[str, float] = Field(default_factory=dict, exclude=True)
    """What the time of this run went to; not of the report, which a run that reuses everything leaves as it is."""
    failed: dict[str, str] = Field(default_factory=dict)
    """Row id -> the error that stopped it."""

    @classmethod
    def read(cls, directory: Path) -> Report:
        """The report of a run, old ones too.

        Raises:
            ValueError: it is no report, or not as it was written.
        """
        from recipes.old_records import with_exhibits

        data = unsealed((directory / "report.json").read_text("utf-8"))
        if isinstance(data.get("rows"), list):
            data["rows"] = [with_exhibits(row) if isinstance(row, dict) else row for row in data["rows"]]
        return cls.model_validate(data)

    def write(self, directory: Path) -> None:
        write_whole(directory / "report.json", sealed_text(self.model_dump(mode="json")))
