"""Runs a recipe: every stage once for each seed that matters, measured, kept, and found again by its identity."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.core.errors import TrimformerError
from finetune.processes import joined
from recipes.engine.budget import judge
from recipes.engine.evidence import Evidence
from recipes.engine.execute import Done, Ledger, carry_out, find
from recipes.engine.identity import source_identity, stage_identity, stage_settings
from recipes.engine.journal import Journal
from recipes.engine.shared import dismissed, follow, same_start
from recipes.engine.source import keep_source, load
from recipes.engine.store import Store, disk_errors
from recipes.file.stage_ids import SOURCE
from recipes.file.yaml import yaml_text
from recipes.plan.predict import check_data, check_measure, check_training, usable_device
from recipes.plan.tree import Node, Plan, plan
from recipes.record import Report, Row

if TYPE_CHECKING:
    import torch

    from compress.core.model.bundle import Bundle
    from compress.core.stage.context import Context
    from finetune.tasks.task import Splits
    from recipes.engine.store import Folder
    from recipes.file.recipe import Recipe

__all__ = ["run"]

Key = tuple[str, int | None]


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
        check_data(recipe)
        splits = recipe.task.load(recipe.seeds[0])
        source = load(recipe, recipe.seeds[0])
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
    recipe: Recipe
    plan: Plan
    store: Store
    splits: Splits
    device: torch.device
    journal: Journal
    done: dict[Key, Done] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        from recipes.measure.environment import environment

        machine = environment()
        self.evidence = Evidence(self.recipe, self.store, self.splits, machine, self.device.type)
        self.report = Report(
            name=self.recipe.name,
            recipe=self.recipe.dump(),
            environment={**machine, "training_device": str(self.device)},
            task=self.recipe.task.describe(self.splits),
        )

    def run(self, source: Bundle) -> Report:
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
        self._draw()
        return self.report

    def _source(self, seed: int | None, bundle: Bundle) -> None:
        from compress.core.checkpoint.save import fingerprint

        folder = self.store.folder(
            "00-source" + (f"-seed-{seed}" if len(self.recipe.seeds) > 1 and seed is not None else "")
        )
        expected = source_identity(
            self.recipe, fingerprint=fingerprint(self.recipe.reference), data=self.splits.fingerprints, seed=seed
        )
        done = find(folder, expected, self.store, leaf=False)
        self._begin(SOURCE, seed, reused=done is not None)
        if done is None:
            context = partial(
                self._context, SOURCE, seed, self.recipe.seeds[0] if seed is None else seed, ledger=Ledger()
            )
            done = keep_source(bundle, folder, expected, seed=seed, context=context, facts=self._facts_of_bundle)
        self._finished((SOURCE, seed), done, parent=None)

    def _node(self, node: Node, seed: int | None) -> None:
        parent = self.done.get(self._key(node.start, seed))
        named = {f: self.done.get(self._key(name, seed)) for f, name in node.requires.names.items()}
        if parent is None or None in named.values():
            self._begin(node.id, seed)
            self._failed(node.id, seed, "left out: a stage that it stands on failed")
            return
        expected = self._identity(node, seed, parent, {f: done for f, done in named.items() if done})
        folder = self.store.folder(node.folder(seed), leaf=node.leaf)
        try:
            with disk_errors(folder.partial):
                about = {"id": node.id, "stage": node.stage.name, "start": node.start, "seed": seed}
                done = find(folder, expected, self.store, leaf=node.leaf, about=about, base=parent.directory)
                self._begin(node.id, seed, reused=done is not None)
                done = done or self._carry_out(node, seed, parent, folder, expected, about)
                self._finished((node.id, seed), done, parent=parent if node.leaf else None)
        except TrimformerError as error:
            self._forget((node.id, seed))
            self._failed(node.id, seed, str(error))

    def _identity(self, node: Node, seed: int | None, parent: Done, named: dict[str, Done]) -> str:
        return stage_identity(
            node.stage,
            reads=node.requires.reads,
            parent=parent.identity,
            named={f: done.identity for f, done in named.items()},
            recipe=self.recipe,
            data=self.splits.fingerprints,
            seed=self.recipe.seeds[0] if seed is None else seed,
            random=seed is not None,
            device=self.device.type,
        )

    def _carry_out(
        self, node: Node, seed: int | None, parent: Done, folder: Folder, expected: str, about: dict[str, Any]
    ) -> Done:
        from transformers import set_seed

        drawn = self.recipe.seeds[0] if seed is None else seed
        set_seed(drawn)
        start, declared = parent.bundle(self.device), self.plan.declaration(node.id)
        return carry_out(
            node.stage,
            start,
            folder=folder,
            expected=expected,
            context=partial(self._context, node.start, seed, drawn),
            base=parent.directory,
            device=self.device,
            about={**about, "settings": stage_settings(node.stage), "notes": list(declared.remarks)},
            facts=partial(self._facts_of_bundle, reader=start.processor, trained=declared.training is not None),
        )

    def _context(self, start: str, seed: int | None, drawn: int, scratch: Path, ledger: Ledger) -> Context:
        """What a stage that works on `start` may touch."""
        from finetune.context import make_context

        ctx = make_context(
            self.recipe.task,
            self.splits,
            seed=drawn,
            device=self.device,
            scratch=scratch,
            progress=True,
            earlier={id: done.bundle for (id, s), done in self.done.items() if s in (None, seed) and _is_model(done)},
            places={id: done.directory for (id, s), done in self.done.items() if s in (None, seed)},
            best=partial(self._best, start, seed),
        )
        ctx.fit = ledger.watching(ctx.fit)
        return ctx

    def _best(self, start: str, seed: int | None) -> tuple[str, Bundle] | None:
        """Of the stages that this one stands on, the one with the best value on *select*; of equals, the first."""
        above = [SOURCE, *(other.id for other in self.plan.chain(start))]
        found = [(id, self.done[self._key(id, seed)]) for id in above if self._key(id, seed) in self.done]
        valued = [(id, done) for id, done in found if done.facts["select_value"] is not None]
        if not valued:
            return None
        id, done = max(valued, key=lambda pair: pair[1].facts["select_value"])
        return id, done.bundle(self.device)

    def _key(self, id: str, seed: int | None) -> Key:
        if id == SOURCE:
            return id, None if self.plan.source_head_trained else seed
        return id, self.plan.seed_of(id, seed)

    def _facts_of_bundle(
        self, bundle: Bundle, result: Path, *, reader: Any = None, trained: bool = False
    ) -> dict[str, Any]:
        """What is written down of a bundle while it is in memory; its reload must give the same logits.

        Args:
            reader: the tokenizer of the model that it was made of.
            trained: whether its stage trained it.
        """
        from recipes.engine.encoding import encoding_facts
        from recipes.engine.evidence import REFERENCE_LOGITS
        from recipes.measure.logits import reference_logits
        from recipes.measure.size import counts
        from recipes.plan.flops import forward_flops

        length = int(getattr(self.recipe.task, "max_length", 128))
        reference_logits(bundle, self.recipe.task, self.splits.evaluation, result / REFERENCE_LOGITS)
        return {
            "counts": counts(bundle).model_dump(),
            "flops": forward_flops(bundle.model, length=length),
            "reference": self.evidence.reference_marks(),
            **encoding_facts(reader, bundle.processor, self.recipe.task, self.splits.evaluation, recovered=trained),
        }

    def _finished(self, key: Key, done: Done, *, parent: Done | None) -> None:
        self.done[key] = done
        if done.head_trained and self.evidence.baseline_of(key[1]) is None:
            self.evidence.baselines[key[1]] = done
        row = self.evidence.row(done, parent=parent, runtime_reference=self._runtime_reference(key, done))
        self.report.rows.append(row)
        self._write()
        self.journal.say(f"      {_summary(row)}")

    def _forget(self, key: Key) -> None:
        """What could not be measured is nothing to stand on, and no baseline."""
        done = self.done.pop(key, None)
        if done is not None and self.evidence.baselines.get(key[1]) is done:
            del self.evidence.baselines[key[1]]

    def _runtime_reference(self, key: Key, done: Done) -> Path | None:
        """The uncompressed model in the runtime of an export, made once."""
        from recipes.engine.reference import uncompressed

        baseline = self.evidence.baseline_of(key[1])
        if _is_model(done) or baseline is None:
            return None
        node, seed = self.plan.node(key[0]), key[1]
        drawn = self.recipe.seeds[0] if seed is None else seed
        reference = self.plan.declaration(node.id).reference
        return uncompressed(reference, baseline, self.store, context=partial(self._context, node.start, seed, drawn))

    def _begin(self, id: str, seed: int | None, *, reused: bool = False) -> None:
        self.number += 1
        name = id if seed is None or len(self.recipe.seeds) == 1 else f"{id} (seed {seed})"
        (self.journal.reused if reused else self.journal.begin)(self.number, self.count, name)

    def _failed(self, id: str, seed: int | None, message: str) -> None:
        self.report.failed[id if seed is None else f"{id} (seed {seed})"] = message
        self._write()
        self.journal.say(message, style="bold red")

    def _write(self) -> None:
        self.report.write(self.store.directory)

    def _draw(self) -> None:
        from recipes import report

        report.write(self.report, self.store.directory)


def _is_model(done: Done) -> bool:
    return bool(done.facts["runtime"] == "pytorch")


def _summary(row: Row) -> str:
    parts = [f"{row.size.parameters:,} parameters, {row.size.bytes / 1e6:.1f} MB"] if row.size else []
    if row.quality:
        parts.append(f"{row.quality.metric} {row.quality.value:.4f}")
    if row.cost:
        parts.append(f"{row.cost.seconds:.0f} s")
    return ", ".join(parts)
