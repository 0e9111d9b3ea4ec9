"""The tree that a recipe describes, checked before any work: names, packages, and whether each stage can follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import InputError, MissingPackage, Refusal, UnknownName
from compress.core.extras import installed
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.stage.stage import Stage
from recipes.file.mistakes import in_one
from recipes.file.recipe import Recipe
from recipes.file.stage_ids import SOURCE, stage_ids

__all__ = ["Node", "Plan", "Step", "plan", "source_on_meta"]

Seed = int | None
_UNMERGED = (
    "{id} works on plain linears, and {start} left modules around them, or stored them in fewer bits; "
    "put `merge` between the two"
)


@dataclass(frozen=True)
class Node:
    """One stage of the tree.

    Attributes:
        index: its place in the recipe, from 1.
        id: its name in the report, unique in the recipe.
        stage: the settings.
        start: the id of the node that it works on, or `source`.
        names: field -> id of the node that it names besides (`teacher`).
        seeds: the seeds that it is repeated with; (None,) where the seed makes no difference.
        words: its path in the recipe.
    """

    index: int
    id: str
    stage: Stage
    start: str
    names: Mapping[str, str]
    seeds: tuple[Seed, ...]
    words: tuple[Any, ...]

    @property
    def leaf(self) -> bool:
        return self.stage.leaf

    def folder(self, seed: Seed) -> str:
        """The name of its directory below `stages` or `exports`."""
        return f"{self.index:02d}-{self.id}" + (f"-seed-{seed}" if len(self.seeds) > 1 else "")


@dataclass(frozen=True)
class Step:
    """A node as it was walked on the meta device: what came in, the guessed change, what goes out."""

    node: Node
    before: Sketch
    change: Change
    bundle: Bundle


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

    task = recipe.task
    try:
        _refuse_pickles(recipe)
        return load_source(
            recipe.reference,
            head=task.head,
            labels=task.label_names,
            regression=task.regression,
            seed=recipe.seeds[0],
            meta=True,
        )
    except InputError as error:
        error.where = error.where or recipe.where("model")
        raise


def _refuse_pickles(recipe: Recipe) -> None:
    """Weights may be missing here, but where there are only pickled ones a run would refuse them."""
    from compress.core.checkpoint.resolve import find_weights, resolve

    found = resolve(recipe.reference)
    if isinstance(found, Path) and any(found.glob("pytorch_model*.bin")):
        find_weights(found)


def _nodes(recipe: Recipe, errors: list[InputError]) -> Iterator[Node]:
    """Nodes with ids and starts, not yet seeded. Mistakes go to `errors`, and the node gets a start that exists."""
    ids = _ids(recipe, errors)
    earlier: dict[str, bool] = {SOURCE: False}
    trunk = SOURCE
    for index, (stage, id) in enumerate(zip(recipe.stages, ids)):
        words = ("stages", index, stage.name)
        start = stage.start or trunk
        if stage.start is None and stage.explicit_start_after_export and index and recipe.stages[index - 1].leaf:
            errors.append(_after_export(stage, ids[index - 1], trunk, recipe.where(*words)))
        for field, name in {"start": start, **stage.named_stages()}.items():
            problem = _unreachable(name, field, earlier, ids, recipe.where(*words, field))
            if problem:
                errors.append(problem)
        errors += _unaccepted(recipe, stage, dict(zip((SOURCE, *ids[:index]), (None, *recipe.stages))), words)
        start = start if start in earlier else SOURCE
        yield Node(index + 1, id, stage, start, dict(stage.named_stages()), (None,), words)
        earlier[id] = stage.leaf
        trunk = trunk if stage.leaf else id


def _unaccepted(
    recipe: Recipe, stage: Stage, earlier: Mapping[str, Stage | None], words: tuple[Any, ...]
) -> Iterator[InputError]:
    """Where a stage that is named cannot be what the field is for."""
    for field, name in stage.named_stages().items():
        why = stage.accepts(field, earlier[name]) if name in earlier else None
        if why:
            yield InputError(f"{name!r} cannot be the stage of {field!r}: {why}", where=recipe.where(*words, field))


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
        for package, extra in node.stage.packages():
            if not installed(package):
                error = MissingPackage(package, extra, purpose=f"the stage {node.id!r}")
                error.where = recipe.where(*node.words)
                yield error


def _seeded(recipe: Recipe, drafts: tuple[Node, ...], source: Bundle) -> tuple[Node, ...]:
    """The nodes with the seeds that make a difference to them."""
    seeds = {SOURCE: (None,) if "head_trained" in source.states else recipe.seeds}
    nodes = []
    for node in drafts:
        above = [seeds[name] for name in (node.start, *node.names.values())]
        drawn = node.stage.draws_random_numbers or any(s != (None,) for s in above)
        seeds[node.id] = recipe.seeds if drawn else (None,)
        nodes.append(replace(node, seeds=seeds[node.id]))
    return tuple(nodes)


def _walk(recipe: Recipe, nodes: tuple[Node, ...], source: Bundle, errors: list[InputError]) -> Iterator[Step]:
    """Guess and apply every stage on a model without weights. What follows a stage that cannot work is left out."""
    bundles, stages = {SOURCE: _on_meta(source)}, {node.id: node.stage for node in nodes}
    for node in nodes:
        if node.start not in bundles:
            continue
        try:
            named = {field: stages[name] for field, name in node.names.items() if name in stages}
            step = _step(node, bundles[node.start].copy(), named)
        except InputError as error:
            error.where = error.where or recipe.where(*node.words)
            errors.append(error)
            continue
        if not node.leaf:
            bundles[node.id] = step.bundle
        yield step


def _step(node: Node, bundle: Bundle, named: Mapping[str, Stage]) -> Step:
    before = bundle.sketch()
    unmerged = before.states & {"adapted", "quantized"} - node.stage.bears
    refusal = _UNMERGED.format(id=node.id, start=node.start) if unmerged else node.stage.refuses(before)
    if refusal:
        raise Refusal(refusal)
    change = node.stage.guess_beside(before, named)
    return Step(node, before, change, node.stage.apply(bundle, change))


def _on_meta(bundle: Bundle) -> Bundle:
    """The bundle without its weights; tensors that are shared stay shared, which `to("meta")` would part."""
    tensors = [*bundle.model.parameters(), *bundle.model.buffers()]
    memo = {id(tensor): _without_values(tensor) for tensor in tensors}
    return replace(bundle, model=deepcopy(bundle.model, memo))


def _without_values(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
