"""Paired comparison of any two rows on the same examples, over all their seeds."""

from __future__ import annotations

from pathlib import Path

from compress.core.errors import InputError, UnknownName
from recipes.record import Pair, Report
from recipes.report.comparing.run_files import Judged, answers_file, judged, scoring
from recipes.report.table.table import metric

__all__ = ["pair_named", "paired_rows"]


def pair_named(text: str) -> tuple[str, str]:
    """The two rows that `A,B` names.

    Raises:
        InputError: it does not name two.
    """
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names):
        raise InputError("a pair names two rows", given=text, advice="for example: --pair prune_taylor,prune_random")
    return names[0], names[1]


def paired_rows(run: Path, report: Report, one: str, other: str) -> Pair:
    """Paired difference of two rows of one run: the mean over the seeds, with its confidence interval.

    Args:
        run: directory of the run.
        report: its report.
        one: id of the row that the difference is of.
        other: id of the row that it is to.

    Raises:
        InputError: a row is not there, or was not measured on the same examples, or with the same seeds.
    """
    from recipes.measure.pairs import pair

    above, below = (_by_seed(run, report, name) for name in (one, other))
    if sorted(above) != sorted(below):
        raise InputError(f"{one} and {other} have different seeds", given=[sorted(above), sorted(below)])
    order = sorted(above)
    first = above[order[0]]
    if not all(each.same_examples(first) for rows in (above, below) for each in rows.values()):
        raise InputError(f"{one} and {other} were judged on different examples")
    answers = [[rows[seed].answers for seed in order] for rows in (above, below)]
    return pair(scoring(metric(report)), (one, answers[0]), (other, answers[1]), first.targets)


def _by_seed(run: Path, report: Report, name: str) -> dict[int, Judged]:
    known = dict.fromkeys(row.id for row in report.rows if row.quality)
    if name not in known:
        raise UnknownName("row", name, known)
    found = {}
    for row in (row for row in report.rows if row.id == name):
        file = answers_file(run, row)
        held = judged(file) if file.is_file() else None
        if held is None:
            raise InputError(f"the answers of {name} are not there any more", where=str(file))
        found[row.seed or 0] = held
    return found
