"""Execution of the source, a stage and an export's reference by one procedure: run, save, record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.core.model.change import Several
from compress.core.stage.artifact import Artifact
from compress.core.stage.exhibit import kept_units
from recipes.engine.clock import COMPRESSING, EXPORTING, TRAINING, Clock
from recipes.engine.encoding import encoding_facts
from recipes.engine.finished_stages import Done, Finished
from recipes.engine.identity import stage_settings
from recipes.engine.several_processes import run_stage
from recipes.record import Cost
from recipes.stage_record import Named, ReferenceLogits, StageRecord

if TYPE_CHECKING:
    import torch

    from compress.core.fit.protocol import Fit, FitResult
    from compress.core.model.bundle import Bundle, Tuned
    from compress.core.model.sketch import Sketch
    from compress.core.stage.context import Context
    from compress.core.stage.stage import Stage
    from finetune.tasks.task import Splits
    from recipes.engine.folder import Folder
    from recipes.file.recipe import Recipe

__all__ = ["REFERENCE_LOGITS", "Executor", "Ledger", "Work"]

REFERENCE_LOGITS = "reference.npz"
"""In a stage's directory: the logits of its model before it was saved, which the reload must give again."""


@dataclass(frozen=True)
class Work:
    """What is executed.

    Attributes:
        named: what it is called.
        stage: what is run; None for the source, which is kept as it comes.
        open: the model that it works on.
        base: where that model lies; a delta is saved with the way to it.
        stands_on: digests of the weights that it is made from: `start`, and the fields that name stages.
        remarks: what a reader of its row should know, whatever comes out.
        leaf: whether it is an export.
    """

    named: Named
    stage: Stage | None
    open: Callable[[], Bundle]
    base: Path | None = None
    remarks: tuple[str, ...] = ()
    leaf: bool = False
    stands_on: Mapping[str, str | None] = field(default_factory=dict)


@dataclass
class Ledger:
    """Totals over the fits of a stage."""

    clock: Clock = field(default_factory=Clock)
    results: list[FitResult] = field(default_factory=list)

    def watching(self, fit: Fit) -> Fit:
        def watched(*args: Any, **settings: Any) -> FitResult:
            with self.clock.on(TRAINING):
                self.results.append(fit(*args, **settings))
            return self.results[-1]

        return watched

    @property
    def trained_parameters(self) -> int:
        return max((result.trained_parameters for result in self.results), default=0)

    @property
    def seconds(self) -> float:
        return sum(result.seconds for result in self.results)

    @property
    def notes(self) -> list[str]:
        """What the report says of how the fits were run."""
        processes = max((int(result.notes.get("processes", 1)) for result in self.results), default=1)
        return [f"trained on {processes} processes"] if processes > 1 else []

    @property
    def training_flops(self) -> float | None:
        flops = [float(result.notes["training_flops"]) for result in self.results if "training_flops" in result.notes]
        return sum(flops) if flops else None

    @contextmanager
    def measured(self, device: torch.device) -> Iterator[Callable[[], Cost]]:
        """Within it the cost of a stage is measured; afterwards what is yielded gives it."""
        from recipes.measure.energy import energy
        from recipes.measure.memory import peak_memory

        started = time.perf_counter()
        with peak_memory(device) as peak, energy() as used:
            yield lambda: Cost(
                # A fit that was taken up again knows what it took before the interruption.
                seconds=max(ended - started, self.seconds),
                peak_bytes=peak.bytes,
                import_bytes=peak.before,
                trained_parameters=self.trained_parameters,
                training_flops=self.training_flops,
                energy_kwh=used.kwh,
            )
        ended = time.perf_counter()


@dataclass
class Executor:
    """Executes the works of one run.

    Attributes:
        finished: what is done before.
        marks: of the logits that a reload must give.
        clock: of the run.
    """

    recipe: Recipe
    splits: Splits
    device: torch.device
    finished: Finished
    marks: ReferenceLogits
    clock: Clock = field(default_factory=Clock)

    def execute(self, work: Work, folder: Folder, expected: str) -> Done:
        """Run `work` in a directory of its own, and keep its result in `folder` in one rename.

        Args:
            work: what is run.
            folder: its place in the run.
            expected: its identity; what an interrupted run of the same left there is taken up.
        """
        from transformers import set_seed

        at_work, ledger = folder.begin(expected), Ledger(self.clock)
        ctx = self._context(work.named, at_work, ledger)
        set_seed(ctx.seed)
        bundle = work.open()
        before = _Before.of(bundle)
        record = StageRecord(
            **dict(work.named),
            settings=stage_settings(work.stage) if work.stage else {},
            identity=expected,
            states=sorted(bundle.states),
            cost=Cost(seconds=0.0),
            notes=[*work.remarks] if work.stage else [*bundle.notes],
            made_from={name: weights for name, weights in work.stands_on.items() if weights is not None},
        )
        outcome: Bundle | Artifact = bundle
        if work.stage is not None:
            with self.clock.on(EXPORTING if work.leaf else COMPRESSING), ledger.measured(self.device) as spent:
                outcome = run_stage(work.stage, bundle, ctx, base=work.base or folder.final)
            record.cost, record.facts = spent(), dict(ctx.facts)
            record.notes += ledger.notes
        result = at_work / "result"
        if isinstance(outcome, Artifact):
            _keep_artifact(outcome, result, record)
        else:
            if work.stage is not None and outcome.tuned is before.tuned:
                outcome.tuned = None  # it stands on the tuned model, and is no delta itself
            record.cut = before.cut(outcome)
            self._keep_model(outcome, result, record, ctx, places=(work.base, folder.final))
            self._compare_tokens(before.processor, outcome.processor, record, trained=bool(ledger.results))
        record.exhibits = [*kept_units(record.cut), *ctx.exhibits]
        # Copied, since what an interruption spares must still be there when the stage is run again.
        shutil.copytree(at_work / "left", result, dirs_exist_ok=True)
        folder.finish(result, record)
        return Done(folder, record, reused=False)

    def _context(self, named: Named, at_work: Path, ledger: Ledger) -> Context:
        """What a stage may touch; its directories are in `at_work`."""
        from finetune.context import make_context

        scratch, left = at_work / "work", at_work / "left"
        for place in (scratch, left):
            place.mkdir(exist_ok=True)
        ctx = make_context(
            self.recipe.task,
            self.splits,
            seed=self.recipe.seeds[0] if named.seed is None else named.seed,
            device=self.device,
            scratch=scratch,
            progress=True,
            earlier=self.finished.models(named.seed),
            places=self.finished.places(named.seed),
            best=lambda: self.finished.best(named.start, named.seed, device=self.device) if named.start else None,
            left=left,
        )
        ctx.fit = ledger.watching(ctx.fit)
        return ctx

    def _keep_model(
        self, bundle: Bundle, result: Path, record: StageRecord, ctx: Context, *, places: tuple[Path | None, Path]
    ) -> None:
        """Save `bundle` in `result`, and write down what is known of it while it is in memory.

        Args:
            bundle: its reload must give the same logits.
            result: the directory that becomes the stage's.
            record: filled in.
            ctx: evaluates it.
            places: where a delta's base lies, and where `result` will lie.
        """
        from compress.core.checkpoint.save import save
        from compress.core.model.low_bit import storage_of
        from compress.core.stage.task import DEFAULT_LENGTH
        from finetune.delta.saving import save_delta
        from recipes.measure.answers import reference_answers
        from recipes.measure.size import counts
        from recipes.plan.flops import forward_flops

        task = self.recipe.task
        record.states, record.precision = sorted(bundle.states), storage_of(bundle.model)
        record.select_value = ctx.evaluate(bundle) if record.head_trained else None
        if bundle.tuned is None:
            save(bundle.to("cpu"), result)
        else:
            save_delta(bundle.to("cpu"), result, base=places[0], at=places[1])
        reference_answers(bundle, task, self.splits.evaluation, result / REFERENCE_LOGITS)
        record.counts, record.flops = (
            counts(bundle),
            forward_flops(bundle.model, length=task.longest_row() or DEFAULT_LENGTH),
        )
        record.reference = self.marks

    def _compare_tokens(self, reader: Any, processor: Any, record: StageRecord, *, trained: bool) -> None:
        """Say which texts another tokenizer cuts into other pieces."""
        facts, warning = encoding_facts(reader, processor, self.recipe.task, self.splits.evaluation, recovered=trained)
        record.facts |= facts
        record.notes += [note for note in warning if note not in record.notes]


@dataclass(frozen=True)
class _Before:
    """What was known of a model before a stage, which may change it in place."""

    sketch: Sketch
    changes: int
    tuned: Tuned | None
    processor: Any

    @classmethod
    def of(cls, bundle: Bundle) -> _Before:
        return cls(bundle.sketch(), len(bundle.changes), bundle.tuned, bundle.processor)

    def cut(self, after: Bundle) -> dict[str, Any]:
        """The summary of what was changed."""
        return Several(steps=after.changes[self.changes :]).summary(self.sketch)


def _keep_artifact(artifact: Artifact, result: Path, record: StageRecord) -> None:
    shutil.move(artifact.directory, result)
    record.runtime, record.precision, record.artifact = artifact.runtime, artifact.precision, dict(artifact.notes)
