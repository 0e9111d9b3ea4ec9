"""The tree that a recipe describes, checked before any work: names, packages, and whether each stage can follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import InputError, MissingPackage, Refusal, UnknownName
from compress.core.extras import installed
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.stage.declaration import Declaration
from compress.core.stage.requires import Requires
from compress.core.stage.stage import Stage
from recipes.file.mistakes import in_one, located
from recipes.file.recipe import Recipe
from recipes.file.stage_ids import SOURCE, stage_ids

__all__ = ["Node", "Plan", "Step", "plan", "source_on_meta"]

Seed = int | None


@dataclass(frozen=True)
class Node:
    """One stage of the tree.

    Attributes:
        index: its place in the recipe, from 1.
        id: its name in the report, unique in the recipe.
        stage: the settings.
        requires: what the stage needs besides a model.
        start: the id of the node that it works on, or `source`.
        seeds: the seeds that it is repeated with; (None,) where the seed makes no difference.
        words: its path in the recipe.
    """

    index: int
    id: str
    stage: Stage
    requires: Requires
    start: str
    seeds: tuple[Seed, ...]
    words: tuple[Any, ...]

    @property
    def leaf(self) -> bool:
        return self.requires.leaf

    def folder(self, seed: Seed) -> str:
        """The name of its directory below `stages` or `exports`."""
        return f"{self.index:02d}-{self.id}" + (f"-seed-{seed}" if len(self.seeds) > 1 else "")


@dataclass(frozen=True)
class Step:
    """A node as it was walked on the meta device: what came in, what its stage declared, trains and gives.

    Attributes:
        bundle: what goes out.
        trained: the model while it trains, which may be larger.
    """

    node: Node
    before: Sketch
    declaration: Declaration
    bundle: Bundle
    trained: Bundle


@dataclass(frozen=True)
class Plan:
    """The nodes in the order of the file, parents before children, and what walking them showed."""

    recipe: Recipe
    nodes: tuple[Node, ...]
    source: Bundle
    steps: tuple[Step, ...]

    @property
    def source_head_trained(self) -> bool:
        return "head_trained" in self.source.states

    def declaration(self, id: str) -> Declaration:
        """What the stage of that id declared; `source` declares nothing."""
        return next((step.declaration for step in self.steps if step.node.id == id), Declaration())

    def node(self, id: str) -> Node:
        return next(node for node in self.nodes if node.id == id)

    def seed_of(self, id: str, seed: Seed) -> Seed:
        """The seed under which `id` exists for a descendant that runs with `seed`."""
        return None if id == SOURCE or self.node(id).seeds == (None,) else seed

    def chain(self, id: str) -> tuple[Node, ...]:
        """The nodes from the source to `id`, itself last; empty for the source."""
        if id == SOURCE:
            return ()
        node = self.node(id)
        return (*self.chain(node.start), node)


def plan(recipe: Recipe, source: Bundle | None = None) -> Plan:
    """The checked tree of `recipe`.

    Args:
        recipe: what to plan.
        source: the model that it starts from, on any device; built on the meta device unless given.

    Raises:
        InputError: a name, a package or an order that cannot work; all of them in one message.
    """
    errors: list[InputError] = []
    drafts = tuple(_nodes(recipe, errors))
    errors += _missing_packages(recipe, drafts)
    if recipe.budget and recipe.budget.row and recipe.budget.row not in (ids := [draft.id for draft in drafts]):
        errors.append(UnknownName("stage id", recipe.budget.row, ids, where=recipe.where("budget", "row")))
    if errors:
        raise in_one(errors)
    source = source or source_on_meta(recipe)
    nodes = _seeded(recipe, drafts, source)
    steps = tuple(_walk(recipe, nodes, source, errors))
    if errors:
        raise in_one(errors)
    return Plan(recipe, nodes, source, steps)


def source_on_meta(recipe: Recipe) -> Bundle:
    """The model that the recipe starts from, without its weights."""
    from compress.core.checkpoint.for_task import load_source

    try:
        source = load_source(recipe.reference, head=recipe.task.needs_head, seed=recipe.seeds[0], meta=True)
        return replace(source, notes=(*source.notes, *recipe.task.remarks()))
    except InputError as error:
        located(error, recipe.where("model"))
        raise


def _nodes(recipe: Recipe, errors: list[InputError]) -> Iterator[Node]:
    """Nodes with ids and starts, not yet seeded. Mistakes go to `errors`, and the node gets a start that exists."""
    ids = _ids(recipe, errors)
    earlier: dict[str, bool] = {SOURCE: False}
    trunk = SOURCE
    after_leaf = False
    for index, (stage, id) in enumerate(zip(recipe.stages, ids)):
        words = ("stages", index, stage.name)
        start, requires = stage.start or trunk, _required(stage, recipe.where(*words), errors)
        if stage.start is None and requires.explicit_start and after_leaf:
            errors.append(_after_export(stage, ids[index - 1], trunk, recipe.where(*words)))
        for field, name in {"start": start, **requires.names}.items():
            problem = _unreachable(name, field, earlier, ids, recipe.where(*words, field))
            if problem:
                errors.append(problem)
        start = start if start in earlier else SOURCE
        yield Node(index + 1, id, stage, requires, start, (None,), words)
        earlier[id] = after_leaf = requires.leaf
        trunk = trunk if requires.leaf else id


def _required(stage: Stage, where: str, errors: list[InputError]) -> Requires:
    try:
        return stage.requires()
    except InputError as error:
        error.where = error.where or where
        errors.append(error)
        return Requires()


def _after_export(stage: Stage, export: str, trunk: str, where: str) -> InputError:
    return InputError(
        f"{stage.name} stands after the export {export!r}, which cannot be trained",
        where=where,
        advice=f"say which model it works on: `start: {trunk}`, or another stage's id",
    )


def _ids(recipe: Recipe, errors: list[InputError]) -> list[str]:
    ids = stage_ids((stage.name, stage.id) for stage in recipe.stages)
    for index, (stage, id) in enumerate(zip(recipe.stages, ids)):
        if id in (SOURCE, *ids[:index]):
            what = "'source' is the model as given" if id == SOURCE else f"two stages have the id {id!r}"
            where = recipe.where("stages", index, stage.name, "id")
            errors.append(InputError(what, where=where, advice="give this one another id"))
    return ids


def _unreachable(name: str, field: str, earlier: Mapping[str, bool], ids: list[str], where: str) -> InputError | None:
    if name in earlier:
        if not earlier[name]:
            return None
        return InputError(
            f"{name!r} is an export, and nothing can follow it", where=where, advice=f"let {field} name a model"
        )
    if name in ids:
        return InputError(f"{name!r} comes later in the recipe", where=where, advice="move it before this stage")
    return UnknownName("stage id", name, [id for id, leaf in earlier.items() if not leaf], where=where)


def _missing_packages(recipe: Recipe, nodes: tuple[Node, ...]) -> Iterator[InputError]:
    for node in nodes:
        for package, extra in node.requires.packages:
            if not installed(package):
                error = MissingPackage(package, extra, purpose=f"the stage {node.id!r}")
                error.where = recipe.where(*node.words)
                yield error


def _seeded(recipe: Recipe, drafts: tuple[Node, ...], source: Bundle) -> tuple[Node, ...]:
    """The nodes with the seeds that make a difference to them."""
    seeds = {SOURCE: (None,) if "head_trained" in source.states else recipe.seeds}
    nodes = []
    for node in drafts:
        above = [seeds[name] for name in (node.start, *node.requires.names.values())]
        drawn = node.requires.draws or any(s != (None,) for s in above)
        seeds[node.id] = recipe.seeds if drawn else (None,)
        nodes.append(replace(node, seeds=seeds[node.id]))
    return tuple(nodes)


def _walk(recipe: Recipe, nodes: tuple[Node, ...], source: Bundle, errors: list[InputError]) -> Iterator[Step]:
    """Apply what every stage declares to a model without weights. What follows a stage that cannot work is left out."""
    bundles, declared = {SOURCE: _on_meta(source)}, {SOURCE: Declaration()}
    for node in nodes:
        if {node.start, *node.requires.names.values()} - set(declared):
            continue
        try:
            named = {field: declared[name] for field, name in node.requires.names.items()}
            step = _step(node, bundles[node.start].copy(), named)
        except InputError as error:
            error.where = error.where or recipe.where(*node.words)
            errors.append(error)
            continue
        declared[node.id] = step.declaration
        if not node.leaf:
            bundles[node.id] = step.bundle
        yield step


def _step(node: Node, bundle: Bundle, named: Mapping[str, Declaration]) -> Step:
    before = bundle.sketch()
    declaration = node.stage.declare(before, named)
    refusal = declaration.why_not(before, stage=node.id, start=node.start)
    if refusal:
        untrained = "head_trained" in declaration.needs - before.states
        raise Refusal(f"{refusal} ({bundle.head_note})" if untrained and bundle.head_note else refusal)
    larger = declaration.training is not None and declaration.training.change is not None
    trained = declaration.trained(bundle.copy()) if larger else None
    after = declaration.applied(bundle)
    return Step(node, before, declaration, bundle=after, trained=trained or after)


def _on_meta(bundle: Bundle) -> Bundle:
    """The bundle without its weights; tensors that are shared stay shared, which `to("meta")` would part."""
    tensors = [*bundle.model.parameters(), *bundle.model.buffers()]
    memo = {id(tensor): _without_values(tensor) for tensor in tensors}
    return replace(bundle, model=deepcopy(bundle.model, memo))


def _without_values(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
