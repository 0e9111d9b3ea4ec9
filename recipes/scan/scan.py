"""Sensitivity scan: the metric on *select* against sparsity, by masking, layer by layer and by type; no training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationError
from tqdm.auto import tqdm

from compress.core.checkpoint.resolve import fingerprint
from compress.core.errors import InputError
from compress.prune.criterion import Criterion
from compress.prune.pattern import Pattern
from compress.prune.scan import Scoring, label, probes, value_at
from compress.prune.stage import Prune
from finetune.context import make_context
from recipes.engine.identity import source_identity
from recipes.engine.source import given
from recipes.engine.store import identity
from recipes.plan.labels import settled
from recipes.plan.predict import usable_device
from recipes.report import scan as views
from recipes.scan.record import LeftOut, Scan, ScanPoint

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from compress.core.stage.context import Context
    from recipes.file.recipe import Recipe

__all__ = ["scan"]

UNITS = ("heads", "neurons", "layers", "width")
Chosen: TypeAlias = list[tuple[Pattern, list[float]]]
"""Patterns, each with the sparsities that fit the model."""


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
        criterion: importance, in recipe form; the least important is masked first.
        fresh: measure everything again.
        device: `auto`, `cpu`, `cuda`.

    Raises:
        InputError: something that was given cannot work; found before any work.
    """
    place = usable_device(device)
    recipe = settled(recipe)
    splits, bundle = given(recipe)
    _check_head(recipe, bundle)
    scored = _parsed(Criterion, criterion)
    chosen, left_out = _chosen(bundle, patterns, sparsities, scored)
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
    """Patterns to scan, and those left out since they do not fit; all that were asked for by name must fit."""
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
    source = source_identity(recipe, fingerprint=fingerprint(recipe.reference), data=fingerprints, seed=None)
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
    wanted = {(label(pattern), sparsity) for pattern, sparsities in chosen for sparsity in (*sparsities, 1.0)}
    points = [point for point in result.points if (point.pattern, point.sparsity) in wanted]
    return result.model_copy(update={"points": points})
