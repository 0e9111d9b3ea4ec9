"""Evidence of a finished stage: measured in a fresh process, and paired with the baseline on the same examples."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.core.answers import Known, read_answers, write_answers
from compress.core.files import written_whole
from finetune.tasks.source import quiet
from recipes.engine.execute import REFERENCE_LOGITS
from recipes.engine.finished_stages import Done
from recipes.engine.store import Store, identity
from recipes.measure.job import Job, Outcome, measure
from recipes.measure.pairs import neighbours
from recipes.measure.quality import changed_inputs, quality
from recipes.measure.usage import usage_code
from recipes.record import Pair, Row
from recipes.stage_record import ReferenceLogits

if TYPE_CHECKING:
    from finetune.tasks.task import Splits
    from recipes.file.recipe import Recipe

__all__ = ["Evidence"]

LOGITS = "logits.npz"
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

    def rows_file(self) -> Path:
        """The evaluation rows on disk, for the measuring process."""
        path = self.store.work / f"evaluation-{self.splits.fingerprints['evaluation'][:12]}"
        if not path.exists():
            with quiet(), written_whole(path) as beside:
                self.splits.evaluation.save_to_disk(beside)
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
            self._judge(row, done)
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

    def _measured(self, done: Done, parent: Done | None, runtime_reference: Path | None) -> Outcome:
        expected = self._identity(done, runtime_reference)
        found = done.folder.measured(expected)
        if found is None:
            found = self._measure(done, parent, runtime_reference, expected)
        return Outcome.model_validate(found["outcome"])

    def _identity(self, done: Done, runtime_reference: Path | None) -> str:
        baseline = self.baseline_of(done.record.seed)
        return identity(
            stage=done.identity,
            baseline=None if baseline is None else baseline.identity,
            reference=runtime_reference is not None,
            probes=[probe.recipe_form() for probe in self.recipe.measure],
            evaluation=self.splits.fingerprints["evaluation"],
            device=self.device,
            machine={name: self.environment[name] for name in MACHINE},
        )

    def _measure(
        self, done: Done, parent: Done | None, runtime_reference: Path | None, expected: str
    ) -> dict[str, Any]:
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
        facts = {"identity": expected, "outcome": outcome.model_dump(mode="json", exclude={"logits", "select_logits"})}
        done.folder.keep_measurement(facts)
        shutil.rmtree(scratch, ignore_errors=True)
        return facts

    def reference_marks(self) -> ReferenceLogits:
        """What `stage.json` says of the logits that a reload must give."""
        return ReferenceLogits(rows=self.splits.fingerprints["evaluation"], machine=self._arithmetic())

    def _arithmetic(self) -> dict[str, Any]:
        """What decides the last bits of logits in fp32 on the CPU."""
        return {name: self.environment[name] for name in ("cpu", "instructions", "threads")}

    def _reference(self, done: Done) -> tuple[Path | None, float]:
        """The logits that a reload must give, and the largest difference: none where they were computed alike.

        A stage that was made with other evaluation rows was compared on those, and has none for these.
        """
        made = done.record.reference
        path = done.directory / REFERENCE_LOGITS
        if made is None or made.rows != self.splits.fingerprints["evaluation"] or not path.exists():
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

    def _judge(self, row: Row, done: Done) -> None:
        """Fill in the quality, paired with the baseline, and the inputs whose answer changed."""
        task, rows = self.recipe.task, self.splits.evaluation
        answers = read_answers(done.directory / LOGITS)[0]
        baseline = self.baseline_of(row.seed)
        before = None
        if baseline is not None and not row.baseline:
            before = read_answers(baseline.directory / LOGITS)[0]
        row.quality = quality(task, answers, self._targets, rows["part"], before, select_value=done.record.select_value)
        if before is not None:
            row.changed_inputs = changed_inputs(task, answers, before, self._targets, texts=task.texts(rows))
