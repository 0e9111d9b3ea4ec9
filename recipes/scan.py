"""A sensitivity scan: the metric on *select* against sparsity, by masking, layer by layer and by type; no training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import Field, ValidationError

from compress.core.errors import InputError
from recipes.record import Record, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from compress.core.bundle import Bundle
    from compress.core.context import Context
    from compress.prune.criterion import Criterion
    from compress.prune.pattern import Pattern
    from compress.prune.scan import Probe
    from recipes.recipe import Recipe

__all__ = ["LeftOut", "Scan", "ScanPoint", "criterion_option", "scan"]

FILE = "scan.json"
Chosen: TypeAlias = "tuple[Pattern, Criterion, list[float]]"
"""A pattern, its criterion, and the sparsities that fit the model."""


class ScanPoint(Record):
    """The metric with some units of a pattern masked: those of `layer 3`, of a kind of blocks, or of `all`."""

    pattern: str
    where: str
    sparsity: float
    value: float


class LeftOut(Record):
    """A masking that was not measured, and why: a pattern at a sparsity."""

    pattern: str
    sparsity: float
    why: str


class Scan(Record):
    """All that `scan.json` says; `importance` has what the criterion gave, by pattern."""

    format: int = 1
    name: str
    identity: str
    metric: str
    part: str = "select"
    rows: int
    criterion: Any
    model: Any
    whole: float
    """The metric of the model as it is."""
    points: list[ScanPoint] = Field(default_factory=list)
    importance: dict[str, list[list[float]]] = Field(default_factory=dict)
    left_out: list[LeftOut] = Field(default_factory=list)
    """What was asked for this time and does not fit the model."""

    @classmethod
    def read(cls, directory: Path) -> Scan | None:
        """The scan that stands there, or None where there is none of this version."""
        try:
            return cls.model_validate_json((directory / FILE).read_text("utf-8"))
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, directory: Path) -> None:
        write_atomically(directory / FILE, json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True))


def scan(
    recipe: Recipe,
    *,
    out: Path,
    patterns: Sequence[str] = (),
    sparsities: Sequence[float] = (0.25, 0.5, 0.75),
    criterion: Any = "taylor",
    fresh: bool = False,
    device: str = "auto",
) -> Scan:
    """The scan of the recipe's model on its task, written to `out` as JSON, Markdown and HTML; what was measured stays.

    Args:
        patterns: names; heads, neurons, layers and width, as far as the family has them, unless given.
        sparsities: between 0 and 1.
        criterion: in recipe form; what is masked first.
        fresh: measure everything again.
        device: `auto`, `cpu`, `cuda`.

    Raises:
        InputError: something that was given cannot work; found before any work.
    """
    from recipes.check import check_data, usable_device
    from recipes.report import scan as views
    from recipes.source import load

    place = usable_device(device)
    check_data(recipe)
    splits = recipe.task.load(recipe.seeds[0])
    bundle = load(recipe, recipe.seeds[0])
    _check_head(recipe, bundle)
    chosen, left_out = _chosen(bundle, patterns, sparsities, criterion)
    from finetune.context import make_context

    ctx = make_context(recipe.task, splits, seed=recipe.seeds[0], device=place, scratch=None)
    begun = _begun(recipe, bundle, ctx, criterion, len(splits.select), splits.fingerprints)
    earlier = None if fresh else Scan.read(out)
    found = earlier if earlier and earlier.identity == begun["identity"] else None
    out.mkdir(parents=True, exist_ok=True)
    bundle.to(place)
    result = found or Scan(**begun, whole=ctx.evaluate(bundle))
    result.left_out = left_out
    _fill(result, bundle, ctx, chosen, out)
    asked = _asked(result, chosen)
    views.write(asked, out)
    return asked


def criterion_option(text: str) -> Any:
    """A criterion in recipe form out of its text: `taylor`, or `{taylor: {batches: 8}}`.

    Raises:
        InputError: the text is not YAML.
    """
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError("the criterion is neither a name nor a mapping", given=text) from error


def _fill(
    result: Scan,
    bundle: Bundle,
    ctx: Context,
    chosen: list[Chosen],
    out: Path,
) -> None:
    """Measure what is missing, and write it down one by one."""
    from tqdm.auto import tqdm

    from compress.prune.scan import value_at

    known = {(point.pattern, point.where, point.sparsity) for point in result.points}
    waiting = list(_missing(result, bundle, ctx, chosen, known))
    result.write(out)
    for pattern, probe in tqdm(waiting, desc="scan", unit=" maskings", disable=None):
        value = value_at(bundle, pattern, probe, ctx.evaluate)
        result.points.append(ScanPoint(pattern=pattern.name, where=probe.where, sparsity=probe.sparsity, value=value))
        result.write(out)


def _missing(
    result: Scan,
    bundle: Bundle,
    ctx: Context,
    chosen: list[Chosen],
    known: set[tuple[str, str, float]],
) -> Iterator[tuple[Pattern, Probe]]:
    from compress.prune.scan import probes

    for pattern, criterion, sparsities in chosen:
        scores = _scores(result, bundle, ctx, pattern, criterion)
        for probe in probes(pattern, bundle.sketch(), scores, sparsities):
            if (pattern.name, probe.where, probe.sparsity) not in known:
                yield pattern, probe


def _scores(result: Scan, bundle: Bundle, ctx: Context, pattern: Pattern, criterion: Criterion) -> list[Tensor]:
    import torch

    if pattern.name not in result.importance:
        found = criterion.score(bundle, pattern, ctx)
        result.importance[pattern.name] = [score.tolist() for score in found]
    return [torch.tensor(score) for score in result.importance[pattern.name]]


def _check_head(recipe: Recipe, bundle: Bundle) -> None:
    if "head_trained" not in bundle.states:
        raise InputError(
            "a scan needs a model whose head is trained for the task: masking is measured without any training",
            where=recipe.where("model"),
            advice="name a fine-tuned model, such as a stage of a run: --set model=runs/NAME/stages/01-finetune",
        )


def _chosen(
    bundle: Bundle, names: Sequence[str], sparsities: Sequence[float], criterion: Any
) -> tuple[list[Chosen], list[LeftOut]]:
    """What is scanned, and what is left out since it does not fit; all that was asked for by name must fit."""
    from compress.prune.criterion import Criterion
    from compress.prune.pattern import Pattern

    scored, chosen, left_out = _parsed(Criterion, criterion), list[Chosen](), list[LeftOut]()
    for name in names or ("heads", "neurons", "layers", "width"):
        pattern = _parsed(Pattern, name)
        refusals = {sparsity: _refusal(bundle, pattern, scored, sparsity) for sparsity in sparsities}
        refused = [LeftOut(pattern=name, sparsity=each, why=why) for each, why in refusals.items() if why]
        if refused and names:
            raise InputError(refused[0].why, given=name)
        left_out += refused
        if len(refused) < len(refusals):
            chosen.append((pattern, scored, [each for each, why in refusals.items() if not why]))
    if not chosen:
        what = "no pattern can be scanned on this model at these sparsities"
        raise InputError(what + "".join(f"; {each.pattern}: {each.why}" for each in left_out), given=list(sparsities))
    return chosen, left_out


def _refusal(bundle: Bundle, pattern: Pattern, criterion: Criterion, sparsity: float) -> str | None:
    """Why such units cannot be scanned, or None."""
    from compress.prune.stage import Prune
    from compress.prune.weight_pattern import WeightPattern

    if isinstance(pattern, WeightPattern):
        return f"a scan switches whole units off (heads, neurons, layers, width), and {pattern.name} are none"
    try:
        stage = Prune(pattern=pattern, sparsity=sparsity, criterion=criterion, recover=None)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    return stage.refuses(bundle.sketch())


def _parsed(kind: Any, form: Any) -> Any:
    try:
        return kind.parse(form)
    except ValidationError as error:
        raise InputError(f"{error.errors()[0]['msg']}", given=form) from error


def _begun(
    recipe: Recipe, bundle: Bundle, ctx: Context, criterion: Any, rows: int, fingerprints: Any
) -> dict[str, Any]:
    """What a scan says before anything is measured."""
    from compress.core.saving import fingerprint
    from recipes.chain import source_identity

    source = source_identity(recipe, fingerprint=fingerprint(recipe.reference), data=fingerprints, seed=None)
    from recipes.store import identity

    return {
        "name": recipe.name,
        "identity": identity(source=source, criterion=criterion, seed=recipe.seeds[0], device=ctx.device.type),
        "metric": recipe.task.metric,
        "rows": rows,
        "criterion": criterion,
        "model": recipe.dump()["model"],
    }


def _asked(result: Scan, chosen: list[Chosen]) -> Scan:
    """The scan with the points that were asked for this time; the file keeps them all."""
    wanted = {(pattern.name, sparsity) for pattern, _, sparsities in chosen for sparsity in (*sparsities, 1.0)}
    points = [point for point in result.points if (point.pattern, point.sparsity) in wanted]
    return result.model_copy(update={"points": points})
