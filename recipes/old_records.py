"""Reader of records from before stages had exhibits: what they noted as facts becomes the exhibits of today.

The one module that has the keys of those facts. Read are `stage.json` and the rows of `report.json` that have no
`exhibits`: `importance` (of units), `spectra` (of factorized weights), `lottery` (a search, or a study), and each list
whose name ends in `curve`. A fact that cannot be read so stays a fact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from compress.core.stage.exhibit import Cut, Exhibit, Heatmap, Spectrum, group_names, kept_units, loss_curve
from compress.lottery.exhibits import FACT, search_exhibits, study_exhibits

__all__ = ["with_exhibits"]

ENCODING = "encoded_differently"
"""A field of an old `stage.json` that is a fact now."""
Plain = dict[str, Any]


def with_exhibits(record: Plain) -> Plain:
    """The plain data of a row or a stage, with `exhibits` and without the facts that these show."""
    if not isinstance(record, dict):
        raise ValueError("a record is a mapping")
    if "exhibits" in record:
        return record
    facts, cut = dict(record.get("facts", {})), record.get("cut", {})
    found: list[Exhibit] = [*_attempt(lambda: kept_units(cut))]
    for name, read in (("importance", lambda: _importance(facts["importance"], cut)),
                       ("spectra", lambda: _spectra(facts["spectra"]))):  # fmt: skip
        shown = _attempt(read) if name in facts else ()
        found += shown
        if shown:
            del facts[name]
    found += _attempt(lambda: _lottery(facts[FACT]))
    facts = _without_curves(facts, found)
    if ENCODING in record:
        facts[ENCODING] = record[ENCODING]
    kept = {name: value for name, value in record.items() if name != ENCODING}
    return {**kept, "facts": facts, "exhibits": [shown.model_dump(mode="json") for shown in found]}


def _attempt(read: Callable[[], tuple[Exhibit, ...]]) -> tuple[Exhibit, ...]:
    """What was read; nothing where it is not what its name says."""
    try:
        return tuple(read())
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError):
        return ()


def _importance(found: Mapping[str, Any], cut: Mapping[str, Any]) -> tuple[Exhibit, ...]:
    return tuple(_scores(part, scores, cut.get(part, {})) for part, scores in found.items())


def _scores(part: str, scores: list[list[float]], what: Mapping[str, Any]) -> Heatmap:
    kept = what.get("kept")
    if kept is not None and all(isinstance(unit, int) for unit in kept):
        kept = [kept]
    return Heatmap(
        title=f"importance of the {part}",
        rows=group_names(len(scores), what.get("kinds", ())) if len(scores) > 1 else (part,),
        values=tuple(map(tuple, scores)),
        kept=None if kept is None else tuple(map(tuple, kept)),
        of=tuple(map(len, scores)),
    )


def _spectra(found: list[Plain]) -> tuple[Exhibit, ...]:
    by_role: dict[str, list[Cut]] = {}
    for one in found:
        if len(one["singular_values"]) > 1:
            name = "table" if one["block"] is None else f"layer {one['block']}"
            values = tuple(one["singular_values"])
            cut = Cut(name=name, values=values, at=one["rank"], of=one["of"], kept=one["kept_energy"])
            by_role.setdefault(one["role"], []).append(cut)
    return tuple(Spectrum(title=role, lines=tuple(lines)) for role, lines in by_role.items())


def _lottery(found: Plain) -> tuple[Exhibit, ...]:
    return search_exhibits(found) if "lines" in found else study_exhibits(found)


def _without_curves(facts: Plain, found: list[Exhibit], of: str = "") -> Plain:
    """The facts without the curves at any depth, which join `found`."""
    left = {}
    for name, value in facts.items():
        shown = _curve(name, value, of)
        found += shown
        if isinstance(value, dict) and name != FACT:
            left[name] = _without_curves(value, found, f"{of}, {name}" if of else name)
        elif not shown:
            left[name] = value
    return left


def _curve(name: str, value: Any, of: str) -> tuple[Exhibit, ...]:
    if not (name.endswith("curve") and isinstance(value, list)):
        return ()
    return _attempt(lambda: loss_curve(value, of=of.replace("_", " ")))
