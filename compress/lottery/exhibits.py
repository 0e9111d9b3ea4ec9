"""What a search for tickets, or a study of subnetworks, shows: a table, and curves. No torch here.

Both are made of the study's plain data, which the stage notes in full as the fact `lottery`.
"""

from __future__ import annotations

from typing import Any

from compress.core.stage.exhibit import Column, Curves, Entry, Line, Number, Table

__all__ = ["FACT", "KINDS", "search_exhibits", "study_exhibits"]

FACT = "lottery"
TITLE = "tickets"
KINDS = ("good", "random", "bad")
CAPTION = (
    "On {examples:,} examples of select, mean ± standard deviation over {seeds} seeds. Matches: within one standard "
    "deviation of the full model (Chen et al. 2020); strictly: the 95 % paired interval of the difference, in "
    "brackets, does not lie below 0."
)
Plain = dict[str, Any]


def search_exhibits(found: Plain) -> tuple[Table, Curves]:
    """Every size of a search beside its controls, and the metric against the weights that are left."""
    return _sizes(found), _curves(found)


def study_exhibits(found: Plain) -> tuple[Table]:
    """The good, the random and the bad subnetwork, cut and trained again."""
    columns = (
        Column(title="subnetwork", detail="weights left"),
        Column(title="heads", keep=7),
        Column(title="networks", detail="feed-forward", keep=7),
        Column(title="when cut"),
        Column(title="trained again"),
        *_JUDGED,
    )
    full = (Entry(main="full model", detail="100 %"), *_EMPTY[:3], _spread(found["full"]), *_EMPTY)
    rows = [full]
    for kind, each in ((kind, found["subnetworks"][kind]) for kind in KINDS):
        left = Number(value=sum(each["remaining"]) / len(each["remaining"]), unit="share")
        units = (Entry(main=", ".join(map(str, each[part]))) for part in ("heads", "networks"))
        again = (_spread(each["trained"]), *_judged(each["trained"]))
        rows.append((Entry(main=kind, detail=left), *units, _spread(each["cut"]), *again))
    share = f"{100 * found['keeps']:.3g} %"
    keeps = f"The good one is the smallest that keeps {share} of the metric when it is only cut. "
    return (_table(found, columns, rows, keeps + _caption(found)),)


_JUDGED = (
    Column(title="difference", detail="to the full model", keep=8),
    Column(title="matches", detail="one deviation", keep=7),
    Column(title="strictly", detail="paired", keep=6),
)
_EMPTY = (Entry(),) * len(_JUDGED)


def _sizes(found: Plain) -> Table:
    lines = found["lines"]
    controls = [name for name in lines if name != "ticket"]
    columns = (
        Column(title="weights left"),
        Column(title="ticket"),
        *_JUDGED,
        *(Column(title=control.replace("_", " "), detail="ticket above by", keep=5) for control in controls),
    )
    full = (Entry(main="100 %", detail="full model"), _spread(found["full"]), *_EMPTY, *(Entry() for _ in controls))
    rows = [full]
    for place, point in enumerate(lines["ticket"]):
        left = Number(value=point["remaining"], unit="share")
        size = Entry(main=left, detail=Number(value=point["kept"], unit="count"))
        beside = (_above(lines[control][place]) for control in controls)
        rows.append((size, _spread(point), *_judged(point), *beside))
    return _table(found, columns, rows, _caption(found))


def _table(found: Plain, columns: tuple[Column, ...], rows: list[tuple[Entry, ...]], caption: str) -> Table:
    return Table(
        title=TITLE,
        columns=columns,
        rows=tuple(rows),
        metric=found["metric"],
        caption=caption,
        notes=_shared(found),
        fact=FACT,
    )


def _curves(found: Plain) -> Curves:
    """Each line from the full model on, with its band."""
    tickets, seeds = found["lines"]["ticket"], len(found["seeds"])
    lines = {"ticket": tickets, **found["lines"]}
    title = f"{found['metric']} against weights left"
    bands = f"Bands are one standard deviation over {seeds} seeds; the level line is the full model."
    return Curves(
        title=title,
        lines=tuple(_line(name, [found["full"], *points]) for name, points in lines.items()),
        at=(100.0, *(100 * point["remaining"] for point in tickets)),
        axis="weights left (% of the encoder's matrices)",
        falling=True,
        metric=found["metric"],
        level=_line("full model", [found["full"]]),
        caption=f"{title[:1].upper()}{title[1:]}, on select. {bands}",
        fact=FACT,
    )


def _line(name: str, points: list[Plain]) -> Line:
    spread = tuple(point["deviation"] or 0.0 for point in points)
    return Line(name=name.replace("_", " "), values=tuple(point["mean"] for point in points), deviations=spread)


def _spread(point: Plain) -> Entry:
    return Entry(main=Number(value=point["mean"], unit="score", deviation=point["deviation"]))


def _judged(point: Plain) -> tuple[Entry, Entry, Entry]:
    """The cells of a subnetwork beside the full model."""
    gap = Number(value=point["difference"], unit="difference", interval=tuple(point["interval"]))
    verdicts = (_verdict(point["within_one_deviation"]), _verdict(point["strictly"]))
    return Entry(main=gap), Entry(main=verdicts[0]), Entry(main=verdicts[1])


def _above(point: Plain) -> Entry:
    """A control's score, and how far the ticket lies above it."""
    gap = Number(value=point["ticket_above"], unit="difference", interval=tuple(point["interval"]))
    return Entry(main=Number(value=point["mean"], unit="score"), detail=gap)


def _verdict(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "one seed"}[value]


def _caption(found: Plain) -> str:
    return CAPTION.format(examples=found["examples"], seeds=len(found["seeds"]))


def _shared(found: Plain) -> tuple[tuple[str, str], ...]:
    """What the tickets of two seeds have in common at the smallest size."""
    if not found["overlap"]:
        return ()
    last = found["overlap"][-1]
    words = ", ".join(
        f"{last[part]:.2f} of what they {verb} (by chance {last[f'chance_{part}']:.2f})"
        for part, verb in (("kept", "keep"), ("removed", "remove"))
    )
    return (("overlap", f"the smallest tickets of two seeds share {words}; Jaccard's index"),)
