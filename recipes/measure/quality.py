"""How good the answers are, and how they differ from the baseline's on the same examples. Logits in, plain data out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from compress.core import statistics
from compress.core.statistics import RESAMPLES
from recipes.record import ChangedInput, PartQuality, Quality

__all__ = ["Scoring", "changed_inputs", "quality"]


class Scoring(Protocol):
    """What is needed of a task; `finetune.tasks` has them."""

    @property
    def metric(self) -> str: ...

    @property
    def regression(self) -> bool: ...

    def score(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The metric; higher is better."""
        ...


@dataclass(frozen=True)
class _Answers:
    """Logits (examples, labels) and labels (examples,) of one part, with the baseline's logits where there is one."""

    task: Scoring
    logits: np.ndarray
    labels: np.ndarray
    baseline: np.ndarray | None

    def of(self, chosen: np.ndarray) -> _Answers:
        baseline = None if self.baseline is None else self.baseline[chosen]
        return _Answers(self.task, self.logits[chosen], self.labels[chosen], baseline)

    @property
    def is_share(self) -> bool:
        return self.task.metric == "accuracy"

    def right(self, logits: np.ndarray) -> np.ndarray:
        return logits.argmax(-1) == self.labels

    @property
    def turned(self) -> tuple[int, int]:
        """How many answers turned right, and wrong."""
        if self.baseline is None:
            return 0, 0
        now, before = self.right(self.logits), self.right(self.baseline)
        return int((now & ~before).sum()), int((before & ~now).sum())


def quality(
    task: Scoring,
    logits: np.ndarray,
    labels: np.ndarray,
    parts: Sequence[str] | None = None,
    baseline_logits: np.ndarray | None = None,
    *,
    select_value: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Quality:
    """The metric with its interval, and the paired difference to the baseline, on all examples and on each part.

    Accuracy has Wilson's interval, Tango's paired interval and the exact McNemar test; every other metric has
    percentile bootstrap intervals and a paired bootstrap test. For regression there is no answer that could turn:
    `agreement`, `kl`, `fixed` and `broken` are None.

    Args:
        logits: (examples, labels), or (examples, 1) for regression.
        labels: (examples,).
        parts: the part of the evaluation split that each example belongs to; told apart where there are several.
        baseline_logits: the baseline's, for the same examples in the same order; None for the baseline itself.
        select_value: the metric on the select part, passed on.
    """
    answers = _Answers(task, logits, np.asarray(labels), baseline_logits)
    whole, spread = _measures(answers, resamples, seed)
    names = np.asarray([] if parts is None else parts)
    several = sorted(set(names.tolist())) if len(set(names.tolist())) > 1 else []
    return Quality(
        **whole,
        metric=task.metric,
        test=_test_name(answers, resamples),
        smallest_detectable=_smallest_detectable(answers, spread),
        **_agreement(answers),
        parts={name: PartQuality(**_measures(answers.of(names == name), resamples, seed)[0]) for name in several},
        select_value=select_value,
    )


def _measures(answers: _Answers, resamples: int, seed: int) -> tuple[dict[str, Any], float | None]:
    """The fields of a PartQuality, and the standard error of the difference where it was bootstrapped."""
    value = answers.task.score(answers.logits, answers.labels)
    fields: dict[str, Any] = {"value": value, "examples": len(answers.labels)}
    if answers.baseline is not None:
        fields["difference"] = value - answers.task.score(answers.baseline, answers.labels)
    if answers.is_share:
        return {**fields, **_share_measures(answers)}, None
    measures, spread = _bootstrap_measures(answers, resamples, seed)
    return {**fields, **measures}, spread


def _share_measures(answers: _Answers) -> dict[str, Any]:
    count = len(answers.labels)
    fields: dict[str, Any] = {"interval": statistics.share_interval(int(answers.right(answers.logits).sum()), count)}
    if answers.baseline is not None:
        gained, lost = answers.turned
        fields["difference_interval"] = statistics.paired_share_interval(gained, lost, count)
        fields["p_value"] = statistics.mcnemar_p_value(gained, lost)
    return fields


def _bootstrap_measures(answers: _Answers, resamples: int, seed: int) -> tuple[dict[str, Any], float | None]:
    score, baseline = answers.task.score, answers.baseline

    def both(index: np.ndarray) -> np.ndarray:
        labels = answers.labels[index]
        before = float("nan") if baseline is None else score(baseline[index], labels)
        return np.array([score(answers.logits[index], labels), before])

    draws = statistics.bootstrap(both, len(answers.labels), resamples=resamples, seed=seed)
    fields: dict[str, Any] = {"interval": statistics.percentile_interval(draws[:, 0])}
    if baseline is None:
        return fields, None
    found = statistics.PairedDifference.of(draws[:, 0] - draws[:, 1])
    return {**fields, "difference_interval": found.interval, "p_value": found.p_value}, found.error


def _test_name(answers: _Answers, resamples: int) -> str | None:
    if answers.baseline is None:
        return None
    return "exact McNemar" if answers.is_share else f"paired bootstrap, {resamples} resamples"


def _smallest_detectable(answers: _Answers, spread: float | None) -> float | None:
    if answers.baseline is None:
        return None
    if spread is not None:
        return (statistics.NORMAL_975 + statistics.NORMAL_80) * spread
    count = len(answers.labels)
    return statistics.smallest_detectable_share(sum(answers.turned) / count, count)


def _agreement(answers: _Answers) -> dict[str, Any]:
    if answers.baseline is None or answers.task.regression:
        return {}
    gained, lost = answers.turned
    same = float((answers.logits.argmax(-1) == answers.baseline.argmax(-1)).mean())
    return {"agreement": same, "kl": mean_kl(answers.baseline, answers.logits), "fixed": gained, "broken": lost}


def mean_kl(before: np.ndarray, after: np.ndarray) -> float:
    """The mean over examples of KL(softmax(before) || softmax(after)), in nats."""
    from scipy.special import log_softmax

    old, new = log_softmax(before.astype(np.float64), axis=-1), log_softmax(after.astype(np.float64), axis=-1)
    return max(0.0, float((np.exp(old) * (old - new)).sum(-1).mean()))


def changed_inputs(
    logits: np.ndarray,
    baseline_logits: np.ndarray,
    labels: np.ndarray,
    *,
    row_ids: Sequence[int],
    texts: Sequence[str],
    label_names: Sequence[str],
    most: int = 40,
) -> list[ChangedInput]:
    """Examples that this model and the baseline answer differently, the baseline's right answers first, and among those
    the ones of which the model is surest now; at most `most`. Empty for regression (one logit).

    Both answers may be wrong in different ways: then nothing was fixed, and it stands behind the broken ones.
    """
    from scipy.special import softmax

    before, after = baseline_logits.argmax(-1), logits.argmax(-1)
    changed = np.flatnonzero(before != after)
    broken = (before == labels)[changed]
    sure = softmax(logits.astype(np.float64), axis=-1).max(-1)[changed]
    fixed = (after == labels)[changed]
    order = np.lexsort((-sure, fixed, ~broken))[:most]
    return [
        ChangedInput(
            row_id=int(row_ids[i]),
            text=texts[i],
            label=label_names[int(labels[i])],
            before=label_names[int(before[i])],
            after=label_names[int(after[i])],
            fixed=bool(after[i] == labels[i]),
        )
        for i in changed[order].tolist()
    ]
