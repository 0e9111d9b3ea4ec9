"""A sensitivity scan: the metric on *select* against sparsity, by masking, layer by layer and by type; no training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import Field, ValidationError

from compress.core.errors import InputError
from compress.core.files import write_whole
from recipes.record import Record

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from compress.core.stage.context import Context
    from compress.prune.criterion import Criterion
    from compress.prune.pattern import Pattern
    from compress.prune.scan import Scoring
    from recipes.file.recipe import Recipe

__all__ = ["LeftOut", "Scan", "ScanPoint", "scan"]

FILE = "scan.json"
UNITS = ("heads", "neurons", "layers", "width")
Chosen: TypeAlias = "list[tuple[Pattern, list[float]]]"
"""Patterns, each with the sparsities that fit the model."""


class ScanPoint(Record):
    """The metric with some of a pattern masked: of `layer 3`, a kind of blocks, a role of matrices, or of `all`."""

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
    """All that `scan.json` says.

    `importance` has what the criterion gave, by pattern: each unit's score; of weights the mean of each matrix, a row
    for each block, whose `columns` are the roles.
    """

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
    columns: dict[str, list[str]] = Field(default_factory=dict)
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
        write_whole(directory / FILE, json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True))


def scan(
    recipe: Recipe,
    *,
    out: Path,
    patterns: Sequence[Any] = (),
    sparsities: Sequence[float] = (0.25, 0.5, 0.75),
    criterion: Any = "taylor",
    fresh: bool = False,
    device: str = "auto",
) -> Scan:
    """The scan of the recipe's model on its task, written to `out` as JSON, Markdown and HTML; what was measured stays.

    Args:
        patterns: in recipe form; heads, neurons, layers and width, as far as the family has them, unless given.
        sparsities: between 0 and 1; a pattern that says itself what it cuts has that one.
        criterion: in recipe form; what is masked first.
        fresh: measure everything again.
        device: `auto`, `cpu`, `cuda`.

    Raises:
        InputError: something that was given cannot work; found before any work.
    """
    from compress.prune.criterion import Criterion
    from recipes.engine.source import load
    from recipes.plan.predict import check_data, usable_device
    from recipes.report import scan as views

    place = usable_device(device)
    check_data(recipe)
    splits = recipe.task.load(recipe.seeds[0])
    bundle = load(recipe, recipe.seeds[0])
    _check_head(recipe, bundle)
    scored = _parsed(Criterion, criterion)
    chosen, left_out = _chosen(bundle, patterns, sparsities, scored)
    from compress.prune.scan import Scoring
    from finetune.context import make_context

    ctx = make_context(recipe.task, splits, seed=recipe.seeds[0], device=place, scratch=None)
    begun = _begun(recipe, bundle, ctx, criterion, len(splits.select), splits.fingerprints)
    earlier = None if fresh else Scan.read(out)
    found = earlier if earlier and earlier.identity == begun["identity"] else None
    out.mkdir(parents=True, exist_ok=True)
    bundle.to(place)
    result = found or Scan(**begun, whole=ctx.evaluate(bundle))
    result.left_out = left_out
    _fill(result, Scoring(bundle, scored, ctx, result.importance, result.columns), chosen, out)
    asked = _asked(result, chosen)
    views.write(asked, out)
    return asked


def _fill(result: Scan, scoring: Scoring, chosen: Chosen, out: Path) -> None:
    """Measure what is missing, and write it down one by one."""
    from tqdm.auto import tqdm

    from compress.prune.scan import label, probes, value_at

    known = {(point.pattern, point.where, point.sparsity) for point in result.points}
    asked = [(label(pattern), probe) for pattern, at in chosen for probe in probes(pattern, scoring, at)]
    waiting = [(name, probe) for name, probe in asked if (name, probe.where, probe.sparsity) not in known]
    result.write(out)
    for name, probe in tqdm(waiting, desc="scan", unit=" maskings", disable=None):
        value = value_at(scoring.bundle, probe, scoring.ctx.evaluate)
        result.points.append(ScanPoint(pattern=name, where=probe.where, sparsity=probe.sparsity, value=value))
        result.write(out)


def _check_head(recipe: Recipe, bundle: Bundle) -> None:
    if "head_trained" not in bundle.states:
        raise InputError(
            "a scan needs a model whose head is trained for the task: masking is measured without any training",
            where=recipe.where("model"),
            advice="name a fine-tuned model, such as a stage of a run: --set model=runs/NAME/stages/01-finetune",
        )


def _chosen(
    bundle: Bundle, forms: Sequence[Any], sparsities: Sequence[float], criterion: Criterion
) -> tuple[Chosen, list[LeftOut]]:
    """What is scanned, and what is left out since it does not fit; all that was asked for by name must fit."""
    from compress.prune.pattern import Pattern
    from compress.prune.scan import label

    chosen: Chosen = []
    left_out: list[LeftOut] = []
    for form in forms or UNITS:
        pattern = _parsed(Pattern, form)
        own = pattern.own_sparsity()
        refusals = {each: _refusal(bundle, pattern, criterion, each) for each in (sparsities if own is None else [own])}
        refused = [LeftOut(pattern=label(pattern), sparsity=each, why=why) for each, why in refusals.items() if why]
        if refused and forms:
            raise InputError(refused[0].why, given=form)
        left_out += refused
        if len(refused) < len(refusals):
            chosen.append((pattern, [each for each, why in refusals.items() if not why]))
    if not chosen:
        what = "no pattern can be scanned on this model at these sparsities"
        raise InputError(what + "".join(f"; {each.pattern}: {each.why}" for each in left_out), given=list(sparsities))
    return chosen, left_out


def _refusal(bundle: Bundle, pattern: Pattern, criterion: Criterion, sparsity: float) -> str | None:
    """Why such units or weights cannot be scanned, or None."""
    from compress.prune.stage import Prune

    try:
        stage = Prune(pattern=pattern, sparsity=sparsity, criterion=criterion, recover=None)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    sketch = bundle.sketch()
    return stage.declare(sketch, {}).why_not(sketch, stage="prune") or pattern.plan(sparsity).already_sparser(bundle)


def _parsed(kind: Any, form: Any) -> Any:
    try:
        return kind.parse(form)
    except ValidationError as error:
        raise InputError(f"{error.errors()[0]['msg']}", given=form) from error


def _begun(
    recipe: Recipe, bundle: Bundle, ctx: Context, criterion: Any, rows: int, fingerprints: Any
) -> dict[str, Any]:
    """What a scan says before anything is measured."""
    from compress.core.checkpoint.save import fingerprint
    from recipes.engine.identity import source_identity

    source = source_identity(recipe, fingerprint=fingerprint(recipe.reference), data=fingerprints, seed=None)
    from recipes.engine.store import identity

    return {
        "name": recipe.name,
        "identity": identity(source=source, criterion=criterion, seed=recipe.seeds[0], device=ctx.device.type),
        "metric": recipe.task.metric,
        "rows": rows,
        "criterion": criterion,
        "model": recipe.dump()["model"],
    }


def _asked(result: Scan, chosen: Chosen) -> Scan:
    """The scan with the points that were asked for this time; the file keeps them all."""
    from compress.prune.scan import label

    wanted = {(label(pattern), sparsity) for pattern, sparsities in chosen for sparsity in (*sparsities, 1.0)}
    points = [point for point in result.points if (point.pattern, point.sparsity) in wanted]
    return result.model_copy(update={"points": points})
