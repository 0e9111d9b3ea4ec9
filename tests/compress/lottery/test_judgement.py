"""Matching as the paper judges it, and strictly."""

import numpy as np
import pytest

from compress.core.answers import Known
from compress.lottery.judgement import matching, paired
from finetune.tasks.metrics.metric import metric_named
from tests.tiny import TinyTask, class_answers, right_answers

LABELS = np.arange(200) % 2
TARGETS = right_answers(LABELS)
ACCURACY = TinyTask()


def answers(wrong: int, first: int = 0) -> Known:
    """Logits that are right everywhere except on `wrong` rows from `first` on."""
    said = LABELS.copy()
    said[first : first + wrong] = 1 - said[first : first + wrong]
    return class_answers(np.eye(2, dtype=np.float32)[said])


def test_within_one_standard_deviation_of_the_full_model():
    full = [answers(10), answers(14)]  # 0.95 and 0.93: mean 0.94, deviation 0.0141
    near = matching(ACCURACY, TARGETS, [answers(14), answers(14)], full)
    far = matching(ACCURACY, TARGETS, [answers(15), answers(15)], full)
    assert near.deviation == pytest.approx(np.std([0.95, 0.93], ddof=1))
    assert (near.within_one_deviation, far.within_one_deviation) == (True, False)
    assert near.scores == (0.93, 0.93) and near.full_scores == (0.95, 0.93)


def test_a_ticket_above_the_full_model_matches():
    assert matching(ACCURACY, TARGETS, [answers(0)] * 2, [answers(10), answers(12)]).within_one_deviation


def test_with_one_seed_there_is_no_deviation_to_judge_by():
    found = matching(ACCURACY, TARGETS, [answers(10)], [answers(10)])
    assert found.deviation is None and found.within_one_deviation is None
    assert found.strictly


def test_strictly_a_loss_that_the_interval_shows_is_no_match():
    found = matching(ACCURACY, TARGETS, [answers(30)] * 2, [answers(10)] * 2)
    assert found.paired.difference == pytest.approx(-0.1)
    assert found.paired.interval[1] < 0 and not found.strictly


def test_strictly_a_loss_inside_its_interval_is_none_that_is_shown():
    found = matching(ACCURACY, TARGETS, [answers(12)] * 2, [answers(10)] * 2)
    assert found.paired.interval[0] < 0 <= found.paired.interval[1] and found.strictly


def test_the_interval_is_of_the_mean_over_seeds_on_the_same_examples():
    one, other = [answers(20), answers(10)], [answers(10), answers(10)]
    found = paired(ACCURACY, TARGETS, one, other)
    assert found.difference == pytest.approx(-0.025)
    # The loss lies on ten rows of 200, half of it each: sd of the mean = 0.5 sqrt(0.05 0.95 / 200).
    width = 2 * 1.96 * 0.5 * np.sqrt(0.05 * 0.95 / 200)
    assert found.interval[1] - found.interval[0] == pytest.approx(width, rel=0.2)


def test_equal_answers_differ_by_nothing():
    found = paired(ACCURACY, TARGETS, [answers(7)], [answers(7)])
    assert (found.difference, found.interval) == (0.0, (0.0, 0.0))


def test_a_share_is_drawn_from_its_rows_and_gives_the_same_interval(monkeypatch):
    one, other = [answers(20), answers(10, first=50)], [answers(10), answers(10)]
    by_rows = metric_named("accuracy")
    fast = paired(by_rows, TARGETS, one, other)
    monkeypatch.setattr(type(by_rows), "is_share", lambda *_: False)
    slow = paired(by_rows, TARGETS, one, other)
    assert fast.difference == slow.difference
    assert fast.interval == pytest.approx(slow.interval)


def test_the_interval_is_that_of_earlier_reports():
    """By hand, as it was computed before there was one paired bootstrap."""
    one, other = answers(20), answers(10, first=50)
    generator = np.random.default_rng(0)
    right = [(each.values.argmax(-1) == LABELS).astype(np.float64) for each in (one, other)]
    draws = [float((right[0] - right[1])[generator.integers(0, 200, 200)].mean()) for _ in range(1000)]
    assert paired(ACCURACY, TARGETS, [one], [other]).interval == tuple(np.nanpercentile(draws, [2.5, 97.5]))
