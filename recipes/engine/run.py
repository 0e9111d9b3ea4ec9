"""Runs a recipe: every stage once for each seed that matters, measured, kept, and found again by its identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from compress.core.errors import TrimformerError
from finetune.processes import joined
from recipes.engine.budget import judge
from recipes.engine.clock import EXPORTING, MEASURING, SAVING, Clock
from recipes.engine.evidence import Evidence
from recipes.engine.execute import Executor, Work
from recipes.engine.failures import alone_fails
from recipes.engine.finished_stages import Done, Finished
from recipes.engine.identity import source_identity, stage_identity
from recipes.engine.journal import Journal
from recipes.engine.reference import uncompressed
from recipes.engine.reuse import find
from recipes.engine.several_processes import dismissed, follow, same_start
from recipes.engine.source import given, load
from recipes.engine.store import Store, disk_errors
from recipes.file.stage_ids import SOURCE
from recipes.file.yaml import yaml_text
from recipes.plan.labels import settled
from recipes.plan.predict import check_measure, check_training, usable_device
from recipes.plan.tree import Node, Plan, plan
from recipes.record import Report, Row
from recipes.report import units
from recipes.report.terminal import time_spent
from recipes.stage_record import Named

if TYPE_CHECKING:
    import torch

    from compress.core.model.bundle import Bundle
    from finetune.tasks.task import Splits
    from recipes.engine.folder import Folder
    from recipes.file.recipe import Recipe

__all__ = ["run"]


def run(recipe: Recipe, *, out: Path, fresh: bool = False, verify: bool = False, device: str = "auto") -> Report:
    """The report of `recipe`, run in the directory `out`. What is finished there and unchanged is reused.

    Finished files are compared by size and time, and by SHA-256 where a time differs, and all of them before anything
    new stands on them; what is damaged is made again.

    A stage that fails is named in `report.failed`; what does not stand on it goes on. Where a launcher started several
    processes, each calls this, and each has the report.

    Args:
        fresh: throw away what an earlier run left in `out`, and take nothing from other runs.
        verify: compare every finished file by its SHA-256, also where nothing new stands on it.
        device: where models are trained: `auto`, `cpu`, `cuda`.

    Raises:
        InputError: something that was given cannot work; found before any work.
    """
    place, clock = usable_device(device), Clock()
    with joined(place.type) as processes:
        recipe = settled(recipe)
        splits, source = given(recipe)
        check_measure(recipe, source)
        planned = plan(recipe, source)
        check_training(planned, place)
        same_start(recipe, splits)
        if not processes.main:
            return follow(recipe, splits, device=place)
        store = Store(out, alone=fresh)
        with disk_errors(out), store.opened(recipe.name, yaml_text(recipe), fresh=fresh):
            engine = _Engine(recipe, planned, store, splits, place, Journal(out / "log.txt"), clock, whole=verify)
            report = engine.run(source)
        return dismissed(report)


@dataclass
class _Engine:
    """The algorithm: plan (done before), then for each stage and seed find or execute, measure, record."""

    recipe: Recipe
    plan: Plan
    store: Store
    splits: Splits
    device: torch.device
    journal: Journal
    clock: Clock
    whole: bool = False
    """Whether what is found finished is compared by the hash of every file."""
    number: int = 0

    def __post_init__(self) -> None:
        from recipes.measure.environment import environment

        machine = environment()
        self.finished = Finished(self.plan)
        self.evidence = Evidence(self.recipe, self.store, self.splits, machine, self.device.type)
        marks = self.evidence.reference_marks()
        self.executor = Executor(self.recipe, self.splits, self.device, self.finished, marks, self.clock)
        self.report = Report(
            name=self.recipe.name,
            recipe=self.recipe.dump(),
            environment={**machine, "training_device": str(self.device)},
            task=self.recipe.task.describe(self.splits),
        )

    def run(self, source: Bundle) -> Report:
        from recipes import report

        seeds = (None,) if self.plan.source_head_trained else self.recipe.seeds
        self.count = len(seeds) + sum(len(node.seeds) for node in self.plan.nodes)
        self.whole = self.whole or not self._stays(seeds)
        for seed in seeds:
            self._source(seed, source if seed in (None, self.recipe.seeds[0]) else load(self.recipe, seed))
        for node in self.plan.nodes:
            for seed in node.seeds:
                self._node(node, seed)
        self.report.pairs = self.evidence.pairs(self.report.rows)
        self.report.budget = judge(self.recipe.budget, self.report.rows)
        self._write()
        report.write(self.report, self.store.directory)
        self.report.seconds = self.clock.seconds()
        self.journal.keep(time_spent(self.report.seconds))
        return self.report

    def _stays(self, seeds: Sequence[int | None]) -> bool:
        """Whether all is finished and measured here, so that this run puts nothing on what it finds.

        A stage is what its identity says, so that all of them are known before the first is opened.
        """
        finished, evidence = Finished(self.plan), replace(self.evidence, baselines={})
        places: list[tuple[Node | None, int | None]] = [(None, seed) for seed in seeds]
        places += [(node, seed) for node in self.plan.nodes for seed in node.seeds]
        for node, seed in places:
            folder, expected = self._place(node, seed, finished)
            record = folder.finished(expected).record
            if record is None:
                return False
            done = Done(folder, record, reused=True)
            finished.keep(done)
            if record.head_trained and evidence.baseline_of(seed) is None:
                evidence.baselines[seed] = done
            if not any(evidence.kept(done, referred=referred) for referred in (False, not record.is_model)):
                return False
        return True

    def _place(self, node: Node | None, seed: int | None, finished: Finished) -> tuple[Folder, str]:
        """Folder and identity of a stage; of the source without one."""
        if node is not None:
            parent, others = self._stands_on(node, seed, finished)
            named = {field: done.identity for field, done in others.items() if done}
            identity = self._identity(node, seed, parent.identity if parent else "", named)
            return self.store.folder(node.folder(seed), leaf=node.leaf), identity
        several = len(self.recipe.seeds) > 1 and seed is not None
        expected = source_identity(self.recipe, fingerprint=self.model, data=self.splits.fingerprints, seed=seed)
        return self.store.folder("00-source" + (f"-seed-{seed}" if several else "")), expected

    def _stands_on(
        self, node: Node, seed: int | None, finished: Finished
    ) -> tuple[Done | None, dict[str, Done | None]]:
        """The stage that one works on, and those that its fields name."""
        names = node.requires.names
        return finished.of(node.start, seed), {field: finished.of(name, seed) for field, name in names.items()}

    @cached_property
    def model(self) -> str:
        """Fingerprint of the model that was given."""
        from compress.core.checkpoint.resolve import fingerprint

        return fingerprint(self.recipe.reference)

    def _source(self, seed: int | None, bundle: Bundle) -> None:
        work = Work(Named(id=SOURCE, stage=SOURCE, seed=seed), None, lambda: bundle)
        with alone_fails(self.journal):
            self._row(work, *self._place(None, seed, self.finished))

    def _node(self, node: Node, seed: int | None) -> None:
        named = Named(id=node.id, stage=node.stage.name, start=node.start, seed=seed)
        parent, others = self._stands_on(node, seed, self.finished)
        if parent is None or None in others.values():
            self._begin(named)
            self._failed(named, "left out: a stage that it stands on failed")
            return
        folder, expected = self._place(node, seed, self.finished)
        stands_on = {"start": parent, **{field: done for field, done in others.items() if done}}
        work = Work(
            named, node.stage, partial(parent.bundle, self.device), base=parent.directory,
            remarks=tuple(self.plan.declaration(node.id).remarks), leaf=node.leaf,
            stands_on={name: done.record.weights for name, done in stands_on.items()},
        )  # fmt: skip
        try:
            with disk_errors(folder.partial), alone_fails(self.journal):
                self._row(work, folder, expected, parent=parent)
        except TrimformerError as error:
            self._forget(named)
            self._failed(named, str(error))

    def _identity(self, node: Node, seed: int | None, parent: str, named: dict[str, str]) -> str:
        return stage_identity(
            node.stage,
            reads=node.requires.reads,
            parent=parent,
            named=named,
            recipe=self.recipe,
            data=self.splits.fingerprints,
            seed=self.recipe.seeds[0] if seed is None else seed,
            random=seed is not None,
            device=self.device.type,
        )

    def _row(self, work: Work, folder: Folder, expected: str, *, parent: Done | None = None) -> None:
        """Find the work finished or execute it, measure what came of it, and write its row."""
        named = work.named
        done = find(folder, expected, self.store, work=work, whole=self.whole, say=self.journal.say)
        self._begin(named, reused=done is not None)
        with self.clock.on(SAVING):
            done = done or self.executor.execute(work, folder, expected)
        self.finished.keep(done)
        if done.record.head_trained and self.evidence.baseline_of(named.seed) is None:
            self.evidence.baselines[named.seed] = done
        with self.clock.on(EXPORTING):
            reference = self._reference(work, done)
        before = self.clock.spent(MEASURING)
        with self.clock.on(MEASURING):
            row = self.evidence.row(done, parent=parent if work.leaf else None, runtime_reference=reference)
        self.report.rows.append(row)
        self._write()
        self.journal.say(f"      {_summary(row, measuring=self.clock.spent(MEASURING) - before)}")

    def _reference(self, work: Work, done: Done) -> Path | None:
        """The uncompressed model in the runtime of an export, made once."""
        baseline = self.evidence.baseline_of(work.named.seed)
        if work.stage is None or done.record.is_model or baseline is None:
            return None
        reference = self.plan.declaration(work.named.id).reference
        return uncompressed(reference, baseline, self.store, self.executor)

    def _forget(self, named: Named) -> None:
        """What could not be measured is nothing to stand on, and no baseline."""
        done = self.finished.forget(named.id, named.seed)
        if done is not None and self.evidence.baselines.get(named.seed) is done:
            del self.evidence.baselines[named.seed]

    def _begin(self, named: Named, *, reused: bool = False) -> None:
        self.number += 1
        several = named.seed is not None and len(self.recipe.seeds) > 1
        name = f"{named.id} (seed {named.seed})" if several else named.id
        (self.journal.reused if reused else self.journal.begin)(self.number, self.count, name)

    def _failed(self, named: Named, message: str) -> None:
        self.report.failed[named.id if named.seed is None else f"{named.id} (seed {named.seed})"] = message
        self._write()
        self.journal.say(message, style="bold red")

    def _write(self) -> None:
        self.report.write(self.store.directory)


def _summary(row: Row, *, measuring: float) -> str:
    """Size, quality and time of a row; one that was made before says no time.

    Args:
        row: as it stands in the report.
        measuring: seconds, which are not among those of the stage.
    """
    parts = []
    if row.size:
        counted = "" if row.size.parameters is None else f"{row.size.parameters:,} parameters, "
        parts.append(f"{counted}{units.bytes_(row.size.bytes)}")
    if row.quality:
        parts.append(f"{row.quality.metric} {units.score(row.quality.metric, row.quality.value)}")
    if not row.reused:
        took = [units.seconds(row.cost.seconds)] if row.cost and row.cost.seconds else []
        parts.append(" and ".join([*took, f"{units.seconds(measuring)} of measuring"]))
    return ", ".join(parts)
