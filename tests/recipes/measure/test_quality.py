import numpy as np
import pytest
from scipy.special import softmax

from compress.core.answers import Answers
from finetune.tasks.metrics.metric import metric_named
from recipes.measure.quality import changed_inputs, quality
from tests.tiny import TinyTask, class_answers, right_answers


def given(logits, labels, baseline=None):
    """Answers, the right ones, and the baseline's."""
    return class_answers(logits), right_answers(labels), None if baseline is None else class_answers(baseline)


def answers(labels, right, seed=0):
    """Logits of two classes that are right exactly where `right` says."""
    sure = np.random.default_rng(seed).uniform(0.5, 3, len(labels))
    logits = np.zeros((len(labels), 2), dtype=np.float32)
    logits[np.arange(len(labels)), np.where(right, labels, 1 - labels)] = sure
    return logits


def judged(metric, logits, labels, baseline=None, parts=None, **settings):
    answers, targets, before = given(logits, labels, baseline)
    return quality(metric_named(metric), answers, targets, parts, before, **settings)


@pytest.fixture
def pair():
    """200 labels; the baseline is right on 180; 5 answers turn right, 12 turn wrong."""
    labels = np.arange(200) % 2
    before = np.arange(200) < 180
    now = before.copy()
    now[180:185], now[:12] = True, False
    return labels, answers(labels, now, 1), answers(labels, before, 2)


def test_accuracy_beside_its_baseline(pair):
    labels, logits, baseline = pair
    found = judged("accuracy", logits, labels, baseline, ["test"] * 200)
    assert found.value == pytest.approx(173 / 200)
    assert found.difference == pytest.approx(-7 / 200)
    assert (found.fixed, found.broken) == (5, 12)
    assert found.agreement == pytest.approx(183 / 200)
    assert found.interval[0] < found.value < found.interval[1]
    assert found.difference_interval[0] < found.difference < found.difference_interval[1]
    assert found.p_value == pytest.approx(0.1435, abs=1e-4)
    assert found.test == "exact McNemar"
    assert found.examples == 200
    assert found.parts == {}
    assert 0.04 < found.smallest_detectable < 0.08


def test_the_baseline_itself_has_no_differences(pair):
    labels, logits, _ = pair
    found = judged("accuracy", logits, labels, select_value=0.5)
    assert found.difference is found.p_value is found.agreement is found.fixed is found.smallest_detectable is None
    assert found.select_value == 0.5


def test_parts_are_measured_apart(pair):
    labels, logits, baseline = pair
    parts = ["validation"] * 100 + ["test"] * 100
    found = judged("accuracy", logits, labels, baseline, parts)
    assert set(found.parts) == {"validation", "test"}
    assert found.parts["validation"].value == pytest.approx(88 / 100)
    assert found.parts["validation"].difference == pytest.approx(-12 / 100)
    assert found.parts["test"].difference == pytest.approx(5 / 100)
    assert found.parts["test"].examples == 100


@pytest.mark.slow
def test_another_metric_is_bootstrapped_in_pairs(pair):
    labels, logits, baseline = pair
    found = judged("f1", logits, labels, baseline, None, resamples=400)
    assert found.test == "paired bootstrap, 400 resamples"
    assert found.difference_interval[0] < found.difference < found.difference_interval[1]
    # The pairs agree on most examples, so the difference is known better than either value.
    width = np.diff(found.interval)[0]
    assert np.diff(found.difference_interval)[0] < width
    assert 0.02 < found.p_value < 0.5
    assert (found.fixed, found.broken) == (5, 12)
    assert found == judged("f1", logits, labels, baseline, None, resamples=400)


def test_a_regression_has_no_answers_that_could_turn():
    generator = np.random.default_rng(0)
    labels = generator.normal(size=150)
    logits, baseline = (labels + generator.normal(0, noise, 150) for noise in (1.0, 0.5))
    found = judged("pearson", logits[:, None], labels, baseline[:, None], resamples=300)
    assert found.difference < 0
    assert found.p_value < 0.05
    assert found.agreement is found.kl is found.fixed is None
    assert found.smallest_detectable > 0


@pytest.mark.slow
def test_the_bootstrapped_interval_covers_the_truth():
    generator = np.random.default_rng(0)
    hits = 0
    for seed in range(120):
        labels = generator.integers(0, 2, 150)
        right = generator.random(150) < 0.8
        found = judged("f1", answers(labels, right), labels, resamples=150, seed=seed)
        hits += found.interval[0] <= 0.8 <= found.interval[1]
    assert hits / 120 >= 0.88


def test_divergence_is_the_mean_of_each_examples():
    generator = np.random.default_rng(0)
    before, after = generator.normal(size=(2, 20, 3))
    p, q = softmax(before, -1), softmax(after, -1)
    accuracy, (before, after) = metric_named("accuracy"), (class_answers(one) for one in (before, after))
    assert accuracy.mean_kl(after, before) == pytest.approx((p * np.log(p / q)).sum(-1).mean())
    assert accuracy.mean_kl(before, before) == 0.0


def test_changed_inputs_start_with_what_broke_and_is_believed_most(pair):
    labels, logits, baseline = pair
    texts = [f"text {i}" for i in range(200)]
    now, targets, before = given(logits, labels, baseline)
    now, targets, before = (Answers(one.row_ids + 1000, one.values) for one in (now, targets, before))
    found = changed_inputs(TinyTask(), now, before, targets, texts=texts, most=14)
    assert [change.fixed for change in found] == [False] * 12 + [True] * 2
    sure = [logits[change.row_id - 1000].max() for change in found]
    assert sure[:12] == sorted(sure[:12], reverse=True)
    first = found[0]
    assert first.text == f"text {first.row_id - 1000}"
    assert first.before == first.label != first.after


def test_changed_inputs_of_a_regression_are_none():
    values = np.ones((3, 1))
    now, targets, before = given(values, np.ones(3), values + 1)
    assert changed_inputs(TinyTask("pearson"), now, before, targets, texts=["a"] * 3) == []


def test_a_score_stands_beside_that_of_one_answer_for_every_row():
    labels = (np.arange(300) % 3 > 0).astype(int)  # two of three are right where 1 is always answered
    ones = np.eye(2)[np.ones(300, dtype=int)] + np.random.default_rng(0).normal(0, 0.1, (300, 2))
    found = judged("f1", ones, labels)
    assert found.value == found.constant == pytest.approx(0.8)
    assert found.accuracy == pytest.approx(2 / 3) and found.commonest == 1.0 and not found.beats_a_constant
    good = judged("accuracy", answers(labels, np.arange(300) < 290), labels)
    assert good.constant == pytest.approx(2 / 3) and good.accuracy is None and good.beats_a_constant
    assert judged("pearson", np.arange(300.0)[:, None], np.arange(300.0)).constant == 0.0
