"""Quality of predictions, and their paired difference to the baseline's on the same examples. Plain data comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from compress.core.answers import Known
from compress.core.statistics import resampling, shares
from compress.core.statistics.resampling import RESAMPLES
from recipes.record import ChangedInput, PartQuality, Quality

if TYPE_CHECKING:
    from compress.core.stage.task import Scoring

__all__ = ["Telling", "changed_inputs", "quality", "turned"]


class Telling(Protocol):
    """Methods of a task that show predictions to a reader."""

    def right(self, answers: Known, targets: Known) -> np.ndarray | None: ...

    def changed(self, answers: Known, before: Known) -> np.ndarray | None: ...

    def confidence(self, answers: Known) -> np.ndarray:
        """(rows,): confidence of each answer."""
        ...

    def in_words(self, answers: Known) -> list[str]:
        """Each row's answer, as a reader knows it."""
        ...


@dataclass(frozen=True)
class _Judged:
    """Answers and the right ones to one part, with the baseline's answers where there is one."""

    task: Scoring
    answers: Known
    targets: Known
    baseline: Known | None

    def of(self, rows: np.ndarray) -> _Judged:
        baseline = None if self.baseline is None else self.baseline.take(rows)
        return _Judged(self.task, self.answers.take(rows), self.targets.take(rows), baseline)

    def right(self, answers: Known) -> np.ndarray | None:
        return self.task.right(answers, self.targets)

    @property
    def is_share(self) -> bool:
        return self.task.is_share(self.answers)

    @property
    def turned(self) -> tuple[int, int] | None:
        """How many rows turned right, and wrong; None without a baseline, or where no answer is right or wrong."""
        now, before = (None if one is None else self.right(one) for one in (self.answers, self.baseline))
        return None if now is None or before is None else turned(now, before)


def turned(now: np.ndarray, before: np.ndarray) -> tuple[int, int]:
    """Numbers of rows that turned right, and that turned wrong.

    Args:
        now: (rows,) bool, whether this model is right.
        before: (rows,) bool, whether the baseline is right.
    """
    return int((now & ~before).sum()), int((before & ~now).sum())


def quality(
    task: Scoring,
    answers: Known,
    targets: Known,
    parts: Sequence[str] | None = None,
    baseline: Known | None = None,
    *,
    select_value: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Quality:
    """The metric with its interval, and the paired difference to the baseline, on all examples and on each part.

    A share of rows (accuracy) has Wilson's interval, Tango's paired interval and the exact McNemar test; every other
    metric has percentile bootstrap intervals and a paired bootstrap test. Where no answer could turn (a regression),
    `agreement`, `kl`, `fixed` and `broken` are None.

    Args:
        task: scores the answers.
        answers: to all examples.
        targets: the right ones, in the same order.
        parts: the part of the evaluation split that each example belongs to; told apart where there are several.
        baseline: the baseline's answers, in the same order; None for the baseline itself.
        select_value: the metric on the select part, passed on.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    judged = _Judged(task, answers, targets, baseline)
    whole, spread = _measures(judged, resamples, seed)
    names = np.asarray([] if parts is None else parts)
    several = sorted(set(names.tolist())) if len(set(names.tolist())) > 1 else []
    of_parts = {name: judged.of(np.flatnonzero(names == name)) for name in several}
    return Quality(
        **whole,
        metric=task.metric,
        test=_test_name(judged, resamples),
        smallest_detectable=_smallest_detectable(judged, spread),
        **_agreement(judged),
        **asdict(task.beside(answers, targets)),
        parts={name: PartQuality(**_measures(part, resamples, seed)[0]) for name, part in of_parts.items()},
        select_value=select_value,
    )


def _measures(judged: _Judged, resamples: int, seed: int) -> tuple[dict[str, Any], float | None]:
    """The fields of a PartQuality, and the standard error of the difference where it was bootstrapped."""
    value = judged.task.score(judged.answers, judged.targets)
    fields: dict[str, Any] = {"value": value, "examples": len(judged.targets)}
    if judged.baseline is not None:
        fields["difference"] = value - judged.task.score(judged.baseline, judged.targets)
    if judged.is_share:
        return {**fields, **_share_measures(judged)}, None
    measures, spread = _bootstrap_measures(judged, resamples, seed)
    return {**fields, **measures}, spread


def _share_measures(judged: _Judged) -> dict[str, Any]:
    count, right, turned = len(judged.targets), judged.right(judged.answers), judged.turned
    fields: dict[str, Any] = {"interval": shares.share_interval(0 if right is None else int(right.sum()), count)}
    if turned is not None:
        fields["difference_interval"] = shares.paired_share_interval(*turned, count)
        fields["p_value"] = shares.mcnemar_p_value(*turned)
    return fields


def _bootstrap_measures(judged: _Judged, resamples: int, seed: int) -> tuple[dict[str, Any], float | None]:
    score, baseline = judged.task.score, judged.baseline

    def both(rows: np.ndarray) -> np.ndarray:
        targets = judged.targets.take(rows)
        before = float("nan") if baseline is None else score(baseline.take(rows), targets)
        return np.array([score(judged.answers.take(rows), targets), before])

    draws = resampling.bootstrap(both, len(judged.targets), resamples=resamples, seed=seed)
    fields: dict[str, Any] = {"interval": resampling.percentile_interval(draws[:, 0])}
    if baseline is None:
        return fields, None
    found = resampling.PairedDifference.of(draws[:, 0] - draws[:, 1])
    return {**fields, "difference_interval": found.interval, "p_value": found.p_value}, found.error


def _test_name(judged: _Judged, resamples: int) -> str | None:
    if judged.baseline is None:
        return None
    return "exact McNemar" if judged.is_share else f"paired bootstrap, {resamples} resamples"


def _smallest_detectable(judged: _Judged, spread: float | None) -> float | None:
    if spread is not None:
        return (shares.NORMAL_975 + shares.NORMAL_80) * spread
    if judged.turned is None:
        return None
    count = len(judged.targets)
    return shares.smallest_detectable_share(sum(judged.turned) / count, count)


def _agreement(judged: _Judged) -> dict[str, Any]:
    if judged.baseline is None:
        return {}
    changed = judged.task.changed(judged.answers, judged.baseline)
    fixed, broken = judged.turned or (None, None)
    agreement = None if changed is None else float((~changed).mean())
    return {
        "agreement": agreement, "kl": judged.task.mean_kl(judged.answers, judged.baseline),
        "fixed": fixed, "broken": broken,
    }  # fmt: skip


def changed_inputs(
    task: Telling, answers: Known, before: Known, targets: Known, *, texts: Sequence[str], most: int = 40
) -> list[ChangedInput]:
    """Examples with other predictions than the baseline's, its right ones first, then by this model's confidence.

    Empty where every answer changes a little (a regression). Both answers may be wrong in different ways: then nothing
    was fixed, and it stands behind the broken ones.

    Args:
        task: tells whether an answer changed, is right, and how it reads.
        answers: of this model.
        before: of the baseline, in the same order.
        targets: the right ones.
        texts: a short text of each example.
        most: examples.
    """
    changed = task.changed(answers, before)
    if changed is None:
        return []
    rows = np.flatnonzero(changed)
    answers, before, targets = (one.take(rows) for one in (answers, before, targets))
    now, then = (task.right(one, targets) for one in (answers, before))
    fixed, broken = (np.zeros(len(rows), dtype=bool) if one is None else one for one in (now, then))
    order = np.lexsort((-task.confidence(answers), fixed, ~broken))[:most]
    label, was, is_now = (task.in_words(one.take(order)) for one in (targets, before, answers))
    return [
        ChangedInput(
            row_id=int(targets.row_ids[place]),
            text=texts[rows[place]],
            label=label[number],
            before=was[number],
            after=is_now[number],
            fixed=bool(fixed[place]),
        )
        for number, place in enumerate(order.tolist())
    ]
