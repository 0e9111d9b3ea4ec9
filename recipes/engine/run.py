"""Runs a recipe: every stage once for each seed that matters, measured, kept, and found again by its identity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from compress.core.errors import TrimformerError
from finetune.processes import joined
from recipes.engine.budget import judge
from recipes.engine.evidence import Evidence
from recipes.engine.execute import Executor, Work, find
from recipes.engine.finished_stages import Done, Finished
from recipes.engine.identity import source_identity, stage_identity
from recipes.engine.journal import Journal
from recipes.engine.reference import uncompressed
from recipes.engine.several_processes import dismissed, follow, same_start
from recipes.engine.source import given, load
from recipes.engine.store import Store, disk_errors
from recipes.file.stage_ids import SOURCE
from recipes.file.yaml import yaml_text
from recipes.plan.labels import settled
from recipes.plan.predict import check_measure, check_training, usable_device
from recipes.plan.tree import Node, Plan, plan
from recipes.record import Report, Row
from recipes.stage_record import Named

if TYPE_CHECKING:
    import torch

    from compress.core.model.bundle import Bundle
    from finetune.tasks.task import Splits
    from recipes.engine.folder import Folder
    from recipes.file.recipe import Recipe

__all__ = ["run"]


def run(recipe: Recipe, *, out: Path, fresh: bool = False, device: str = "auto") -> Report:
    """The report of `recipe`, run in the directory `out`. What is finished there and unchanged is reused.

    A stage that fails is named in `report.failed`; what does not stand on it goes on. Where a launcher started several
    processes, each calls this, and each has the report.

    Args:
        fresh: throw away what an earlier run left in `out`, and take nothing from other runs.
        device: where models are trained: `auto`, `cpu`, `cuda`.

    Raises:
        InputError: something that was given cannot work; found before any work.
    """
    place = usable_device(device)
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
            engine = _Engine(recipe, planned, store, splits, place, Journal(out / "log.txt"))
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
    number: int = 0

    def __post_init__(self) -> None:
        from recipes.measure.environment import environment

        machine = environment()
        self.finished = Finished(self.plan)
        self.evidence = Evidence(self.recipe, self.store, self.splits, machine, self.device.type)
        marks = self.evidence.reference_marks()
        self.executor = Executor(self.recipe, self.splits, self.device, self.finished, marks)
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
        for seed in seeds:
            self._source(seed, source if seed in (None, self.recipe.seeds[0]) else load(self.recipe, seed))
        for node in self.plan.nodes:
            for seed in node.seeds:
                self._node(node, seed)
        self.report.pairs = self.evidence.pairs(self.report.rows)
        self.report.budget = judge(self.recipe.budget, self.report.rows)
        self._write()
        report.write(self.report, self.store.directory)
        return self.report

    def _source(self, seed: int | None, bundle: Bundle) -> None:
        from compress.core.checkpoint.resolve import fingerprint

        several = len(self.recipe.seeds) > 1 and seed is not None
        folder = self.store.folder("00-source" + (f"-seed-{seed}" if several else ""))
        model = fingerprint(self.recipe.reference)
        expected = source_identity(self.recipe, fingerprint=model, data=self.splits.fingerprints, seed=seed)
        work = Work(Named(id=SOURCE, stage=SOURCE, seed=seed), None, lambda: bundle)
        self._row(work, folder, expected)

    def _node(self, node: Node, seed: int | None) -> None:
        named = Named(id=node.id, stage=node.stage.name, start=node.start, seed=seed)
        parent = self.finished.of(node.start, seed)
        others = {field: self.finished.of(name, seed) for field, name in node.requires.names.items()}
        if parent is None or None in others.values():
            self._begin(named)
            self._failed(named, "left out: a stage that it stands on failed")
            return
        expected = self._identity(node, seed, parent, {field: done for field, done in others.items() if done})
        folder = self.store.folder(node.folder(seed), leaf=node.leaf)
        remarks = self.plan.declaration(node.id).remarks
        opened = partial(parent.bundle, self.device)
        work = Work(named, node.stage, opened, base=parent.directory, remarks=tuple(remarks), leaf=node.leaf)
        try:
            with disk_errors(folder.partial):
                self._row(work, folder, expected, parent=parent)
        except TrimformerError as error:
            self._forget(named)
            self._failed(named, str(error))

    def _identity(self, node: Node, seed: int | None, parent: Done, named: dict[str, Done]) -> str:
        return stage_identity(
            node.stage,
            reads=node.requires.reads,
            parent=parent.identity,
            named={field: done.identity for field, done in named.items()},
            recipe=self.recipe,
            data=self.splits.fingerprints,
            seed=self.recipe.seeds[0] if seed is None else seed,
            random=seed is not None,
            device=self.device.type,
        )

    def _row(self, work: Work, folder: Folder, expected: str, *, parent: Done | None = None) -> None:
        """Find the work finished or execute it, measure what came of it, and write its row."""
        named = work.named
        done = find(folder, expected, self.store, leaf=work.leaf, named=named, base=work.base)
        self._begin(named, reused=done is not None)
        done = done or self.executor.execute(work, folder, expected)
        self.finished.keep(done)
        if done.record.head_trained and self.evidence.baseline_of(named.seed) is None:
            self.evidence.baselines[named.seed] = done
        reference = self._reference(work, done)
        row = self.evidence.row(done, parent=parent if work.leaf else None, runtime_reference=reference)
        self.report.rows.append(row)
        self._write()
        self.journal.say(f"      {_summary(row)}")

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


def _summary(row: Row) -> str:
    parts = [f"{row.size.parameters:,} parameters, {row.size.bytes / 1e6:.1f} MB"] if row.size else []
    if row.quality:
        parts.append(f"{row.quality.metric} {row.quality.value:.4f}")
    if row.cost and row.cost.seconds:
        parts.append(f"{row.cost.seconds:.0f} s")
    return ", ".join(parts)
