"""What a search found, as plain data for the report: scores at every size, who matches, what tickets share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from compress.core.answers import Known
from compress.core.model.masks import Masks
from compress.core.stage.task import Scoring
from compress.lottery.bench import Bench
from compress.lottery.judgement import matching, paired
from compress.lottery.overlap import by_chance, overlap, overlap_by_parameter

__all__ = ["Judge", "about", "judge_of", "overlaps"]


@dataclass(frozen=True)
class Judge:
    """Turns answers into plain data.

    Attributes:
        task: scores them.
        targets: the right ones.
        full: the full model's answers of each seed.
    """

    task: Scoring
    targets: Known
    full: Sequence[Known]

    def full_scores(self) -> dict[str, Any]:
        """The full model's own."""
        return self._spread(self.full)

    def against_full(self, answers: Sequence[Known]) -> dict[str, Any]:
        """A subnetwork's scores, and whether it matches the full model, both ways."""
        found = matching(self.task, self.targets, answers, self.full)
        return {
            **self._spread(answers),
            "difference": found.paired.difference,
            "interval": list(found.paired.interval),
            "within_one_deviation": found.within_one_deviation,
            "strictly": found.strictly,
        }

    def below(self, answers: Sequence[Known], ticket: Sequence[Known]) -> dict[str, Any]:
        """A control's scores, and how far the ticket of its size lies above it."""
        found = paired(self.task, self.targets, ticket, answers)
        return {**self._spread(answers), "ticket_above": found.difference, "interval": list(found.interval)}

    def _spread(self, answers: Sequence[Known]) -> dict[str, Any]:
        scores = [float(self.task.score(one, self.targets)) for one in answers]
        deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
        return {"scores": scores, "mean": float(np.mean(scores)), "deviation": deviation}


def judge_of(bench: Bench, full: Sequence[str]) -> Judge:
    """By the task's metric on *select*, beside the answers that are kept under the names `full`.

    Raises:
        InputError: there is no task.
    """
    return Judge(bench.task, bench.targets, [bench.answers(name) for name in full])


def about(bench: Bench, judge: Judge, seeds: Sequence[int]) -> dict[str, Any]:
    """What every search and study has in its findings."""
    return {
        "metric": judge.task.metric,
        "examples": len(judge.targets),
        "seeds": list(seeds),
        "full": judge.full_scores(),
        "parameters": bench.bundle.sketch().parameters,
    }


def overlaps(seeds: Sequence[int], rounds: Iterable[int], ticket: Callable[[int, int], Masks]) -> list[dict[str, Any]]:
    """For each round what the tickets of two seeds have in common, the mean over all pairs, beside chance.

    Args:
        seeds: of the searches; with one there is nothing to compare.
        rounds: which rounds.
        ticket: (seed, round) -> the masks; asked again rather than held, since they are large.
    """
    return [_overlap([ticket(seed, number) for seed in seeds], number) for number in rounds] if len(seeds) > 1 else []


def _overlap(masks: Sequence[Masks], number: int) -> dict[str, Any]:
    pairs = list(combinations(masks, 2))
    whole = [overlap(one, other) for one, other in pairs]
    kept = sum(int(mask.sum()) for mask in masks[0].values()) / sum(mask.numel() for mask in masks[0].values())
    chance = by_chance(kept)
    return {
        "round": number,
        "kept": float(np.mean([each.kept for each in whole])),
        "removed": float(np.mean([each.removed for each in whole])),
        "chance_kept": chance.kept,
        "chance_removed": chance.removed,
        "parameters": _by_parameter(pairs),
    }


def _by_parameter(pairs: Sequence[tuple[Masks, Masks]]) -> Mapping[str, list[float]]:
    """Name -> overlap of the kept, and of the removed."""
    found = [overlap_by_parameter(one, other) for one, other in pairs]
    return {
        name: [
            float(np.mean([each[name].kept for each in found])),
            float(np.mean([each[name].removed for each in found])),
        ]
        for name in found[0]
    }
