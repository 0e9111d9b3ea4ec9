"""Evidence of a finished stage: measured in a fresh process, and paired with the baseline on the same examples."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from pydantic import ValidationError

from compress.core.answers import Known, read_answers, write_answers
from compress.core.file_marks import Mark, damaged_files, marks_of
from compress.core.files import written_whole
from finetune.tasks.source import quiet
from recipes.engine.execute import REFERENCE_LOGITS
from recipes.engine.finished_stages import Done
from recipes.engine.folder import LOGITS
from recipes.engine.store import Store, identity
from recipes.measure.job import Job, Outcome, measure
from recipes.measure.pairs import neighbours
from recipes.measure.quality import changed_inputs, quality
from recipes.measure.usage import usage_code
from recipes.record import Pair, Row
from recipes.sealed import sealed_text, unsealed
from recipes.stage_record import ReferenceLogits

if TYPE_CHECKING:
    from finetune.tasks.task import Splits
    from recipes.file.recipe import Recipe

__all__ = ["Evidence"]

ROW_MARKS = "files.json"
"""Beside evaluation rows on disk: the marks of their files."""
OTHER_MACHINE = 1e-4
"""Tolerance of a logit where another CPU, or another number of threads, sums in another order."""
MACHINE = ("cpu", "instructions", "gpu", "threads", "python", "versions")
"""Fields of the environment that measurements depend on."""


@dataclass
class Evidence:
    """Measurement of rows. The evaluation rows are read here and nowhere else.

    `baselines`: seed -> the finished stage that ratios and differences of that seed are to.
    """

    recipe: Recipe
    store: Store
    splits: Splits
    environment: dict[str, Any]
    device: str = "cpu"
    """Where PyTorch models answer the evaluation rows; probes say themselves where they time."""
    baselines: dict[int | None, Done] = field(default_factory=dict)

    def rows_file(self, part: str = "evaluation") -> Path:
        """The rows of a part on disk, for the measuring process; written again where they are not as written."""
        path = self.store.work / f"{part}-{self.splits.fingerprints[part][:12]}"
        if not _whole_rows(path):
            shutil.rmtree(path, ignore_errors=True)
            with quiet(), written_whole(path) as beside:
                self.splits.part(part).save_to_disk(beside)
                marks = {name: mark.model_dump() for name, mark in marks_of(beside).items()}
                (beside / ROW_MARKS).write_text(sealed_text(marks), "utf-8")
        return path

    def baseline_of(self, seed: int | None) -> Done | None:
        return self.baselines.get(seed) or self.baselines.get(None)

    def row(self, done: Done, *, parent: Done | None, runtime_reference: Path | None) -> Row:
        """The row of a finished stage, measured now or, where nothing changed, found measured.

        Args:
            parent: the stage that an export was made from; its model has the parameters that are counted.
            runtime_reference: the uncompressed model in the export's runtime.
        """
        outcome = self._measured(done, parent, runtime_reference)
        record = done.record
        row = Row(
            id=record.id,
            stage=record.stage,
            start=record.start,
            seed=record.seed,
            runtime=record.runtime,
            precision=record.precision,
            path=self.store.relative(done.directory),
            baseline=self._is_baseline(done),
            size=outcome.size,
            flops=record.flops,
            speed=outcome.speeds,
            load_seconds=outcome.load_seconds,
            resident_bytes=outcome.resident_bytes,
            cost=record.cost,
            sha256=outcome.sha256,
            identity=done.identity,
            reused=done.reused,
            notes=[*record.notes, *outcome.notes],
            facts={**record.facts, "settings": record.settings},
            cut=record.cut,
            exhibits=record.exhibits,
        )
        if record.head_trained:
            self._judge(row, done, record.select_value if outcome.select_value is None else outcome.select_value)
            row.usage = usage_code(done.directory, shown=str(row.path), remark="beside this report")
        return row

    def pairs(self, rows: Sequence[Row]) -> list[Pair]:
        """The fine-tuned rows compared with their neighbours, of those that every seed has; none below three."""
        tuned = [row for row in rows if row.stage == "finetune" and row.quality and row.path]
        by_name: dict[str, list[Known]] = {}
        for row in tuned:
            by_name.setdefault(row.id, []).append(read_answers(self.store.directory / str(row.path) / LOGITS)[0])
        most = max((len(seeds) for seeds in by_name.values()), default=0)
        whole = {name: seeds for name, seeds in by_name.items() if len(seeds) == most}
        return neighbours(self.recipe.task, whole, self._targets) if len(whole) > 2 else []

    def _is_baseline(self, done: Done) -> bool:
        return any(done.directory == baseline.directory for baseline in self.baselines.values())

    def kept(self, done: Done, *, referred: bool) -> Outcome | None:
        """What was measured of a stage before, where nothing that decides it changed and nothing of it is damaged.

        Args:
            done: the stage.
            referred: whether it is compared with the uncompressed model in its runtime.
        """
        found = done.folder.measured(self._identity(done, referred=referred))
        try:
            return None if found is None or not _answered(done, found) else Outcome.model_validate(found["outcome"])
        except (KeyError, ValidationError):
            return None

    def _measured(self, done: Done, parent: Done | None, runtime_reference: Path | None) -> Outcome:
        referred = runtime_reference is not None
        kept = self.kept(done, referred=referred)
        return kept or self._measure(done, parent, runtime_reference, self._identity(done, referred=referred))

    def _identity(self, done: Done, *, referred: bool) -> str:
        baseline = self.baseline_of(done.record.seed)
        return identity(
            stage=done.identity,
            baseline=None if baseline is None else baseline.identity,
            reference=referred,
            probes=[probe.recipe_form() for probe in self.recipe.measure],
            evaluation=self.splits.fingerprints["evaluation"],
            device=self.device,
            machine={name: self.environment[name] for name in MACHINE},
            **({"select": self.splits.fingerprints["select"]} if self._chosen_on_select(done) else {}),
        )

    def _chosen_on_select(self, done: Done) -> bool:
        """Whether its metric on *select* is still to be measured: an export's, where a budget chooses among rows."""
        chooses = self.recipe.budget is not None and self.recipe.budget.metric_drop is not None
        return chooses and done.record.head_trained and done.record.select_value is None

    def _measure(self, done: Done, parent: Done | None, runtime_reference: Path | None, expected: str) -> Outcome:
        baseline = self.baseline_of(done.record.seed)
        itself = baseline is None or baseline.directory == done.directory
        reference, tolerance = self._reference(done)
        job = Job(
            directory=done.directory.resolve(),
            runtime=done.record.runtime,
            reference=reference,
            tolerance=tolerance,
            baseline=None if itself or baseline is None else baseline.directory.resolve(),
            runtime_reference=None if runtime_reference is None else runtime_reference.resolve(),
            task=self.recipe.task.recipe_form(),
            seed=self.recipe.seeds[0],
            evaluation=self.rows_file().resolve(),
            select=self.rows_file("select").resolve() if self._chosen_on_select(done) else None,
            answers=done.record.head_trained,
            device=self.device,
            probes=[probe.recipe_form() for probe in self.recipe.measure] if done.record.head_trained else [],
            counts=None if parent is None else parent.record.counts,
        )
        # Of this process alone: the worker of a run that was killed may still write.
        scratch = self.store.work / f"measure-{done.folder.name}-{os.getpid()}"
        outcome = measure(job, scratch)
        if outcome.logits is not None:
            self._keep_answers(outcome.logits, done.directory / LOGITS)
        if outcome.select_logits is not None:
            known = read_answers(outcome.select_logits)[0]
            outcome.select_value = self.recipe.task.score(known, self.recipe.task.targets(self.splits.select))
        facts = {"identity": expected, "outcome": outcome.model_dump(mode="json", exclude={"logits", "select_logits"})}
        done.folder.keep_measurement(facts)
        shutil.rmtree(scratch, ignore_errors=True)
        return outcome

    def reference_marks(self) -> ReferenceLogits:
        """What `stage.json` says of the logits that a reload must give."""
        rows = self.splits.fingerprints["evaluation"]
        return ReferenceLogits(rows=rows, machine=self._arithmetic(), task=self._encoding())

    def _encoding(self) -> str:
        """What decides how the evaluation rows are read: columns, lengths, labels."""
        return identity(task=self.recipe.task.recipe_form())

    def _arithmetic(self) -> dict[str, Any]:
        """What decides the last bits of logits in fp32 on the CPU."""
        return {name: self.environment[name] for name in ("cpu", "instructions", "threads")}

    def _reference(self, done: Done) -> tuple[Path | None, float]:
        """The logits that a reload must give, and the largest difference: none where they were computed alike.

        A stage that was made with other evaluation rows, or for a task that reads them otherwise (a source without a
        trained head serves several), was compared on those, and has none for these.
        """
        made = done.record.reference
        path = done.directory / REFERENCE_LOGITS
        if made is None or made.rows != self.splits.fingerprints["evaluation"] or not path.exists():
            return None, 0.0
        if made.task != self._encoding() and not (made.task is None and done.record.head_trained):
            return None, 0.0
        return path.resolve(), 0.0 if made.machine == self._arithmetic() else OTHER_MACHINE

    @cached_property
    def _targets(self) -> Known:
        """The right answers to the evaluation rows."""
        return self.recipe.task.targets(self.splits.evaluation)

    def _keep_answers(self, measured: Path, path: Path) -> None:
        """Answers beside the right ones, so that any two rows can be paired later."""
        # Never in place: another run of the store may hold the old file as its own.
        with written_whole(path) as beside:
            write_answers(beside, read_answers(measured)[0], self._targets)

    def _judge(self, row: Row, done: Done, select_value: float | None) -> None:
        """Fill in the quality, paired with the baseline, and the inputs whose answer changed."""
        task, rows = self.recipe.task, self.splits.evaluation
        answers = read_answers(done.directory / LOGITS)[0]
        baseline = self.baseline_of(row.seed)
        before = None
        if baseline is not None and not row.baseline:
            before = read_answers(baseline.directory / LOGITS)[0]
        row.quality = quality(task, answers, self._targets, rows["part"], before, select_value=select_value)
        if before is not None:
            row.changed_inputs = changed_inputs(task, answers, before, self._targets, texts=task.texts(rows))


def _whole_rows(directory: Path) -> bool:
    """Whether evaluation rows on disk are as they were written."""
    try:
        marks = unsealed((directory / ROW_MARKS).read_text("utf-8"))
        return not damaged_files(directory, {n: Mark.model_validate(mark) for n, mark in marks.items()}, whole=True)
    except (OSError, ValueError):
        return False


def _answered(done: Done, facts: Mapping[str, Any]) -> bool:
    """Whether the answers are there that a model with a trained head was measured by."""
    if not done.record.head_trained or LOGITS in facts.get("files", {}):
        return True
    try:  # a measurement of an older version has no mark of them
        return "files" not in facts and len(read_answers(done.directory / LOGITS)[0]) > 0
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return False
