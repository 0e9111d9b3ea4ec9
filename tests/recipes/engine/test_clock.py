"""Every second of a run counts once, for the innermost work."""

from __future__ import annotations

import pytest

from recipes.engine.clock import COMPRESSING, MEASURING, REST, TRAINING, Clock
from recipes.report.terminal import time_spent


def test_time_counts_for_the_innermost_work() -> None:
    times = iter(range(100))
    clock = Clock(now=lambda: float(next(times)))
    with clock.on(COMPRESSING):
        with clock.on(TRAINING):
            pass
        with pytest.raises(RuntimeError), clock.on(TRAINING):
            raise RuntimeError
    before = clock.spent(MEASURING)
    with clock.on(MEASURING):
        pass
    assert before == 0.0 and clock.spent(MEASURING) == 1.0
    found = clock.seconds()
    assert found == {REST: 5.0, COMPRESSING: 3.0, TRAINING: 2.0, MEASURING: 1.0}
    assert list(found) == sorted(found, key=lambda work: -found[work])


def test_the_summary_says_where_the_time_went() -> None:
    text = time_spent({"measuring": 60.0, "training": 39.9, "saving": 0.1})
    assert text == "time: 1 min 40 s in all: 1 min 00 s measuring, 39.9 s training"
