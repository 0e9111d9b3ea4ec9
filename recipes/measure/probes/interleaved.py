"""Interleaved timing: the models take turns, so that noise affects them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from compress.core.statistics.resampling import median_ratio
from recipes.measure.inputs import Arrays, batches
from recipes.measure.probe import Bench
from recipes.measure.runners import Opponents
from recipes.record import Speed

__all__ = ["interleaved", "speed"]

LEAST_TURNS = 5
WARM_UP = 3

Length = int | Literal["data"]


def interleaved(
    calls: Sequence[Callable[[int], object]],
    *,
    repeats: int,
    seconds: float,
    rest: float,
    warm_up: int = WARM_UP,
) -> np.ndarray:
    """Seconds of each call, (turns, calls): in each turn every call is made once, after a rest.

    Args:
        calls: each is given the number of the turn, so that all can work on the same batch.
        repeats: turns to make.
        seconds: no turn begins after so long, except the first five.
        rest: seconds of sleep before each call.
        warm_up: untimed turns before, without rest.
    """
    for turn in range(warm_up):
        for call in calls:
            call(turn)
    timings: list[list[float]] = []
    start = time.perf_counter()
    while len(timings) < repeats and (len(timings) < LEAST_TURNS or time.perf_counter() - start < seconds):
        timings.append([_timed(call, len(timings), rest) for call in calls])
    return np.array(timings)


def _timed(call: Callable[[int], object], turn: int, rest: float) -> float:
    time.sleep(rest)
    start = time.perf_counter()
    call(turn)
    return time.perf_counter() - start


def speed(
    models: Opponents, bench: Bench, batch_size: int, length: Length, *, repeats: int, seconds: float, rest: float
) -> Speed:
    """Latency and throughput of `models.row` at one batch size and length, interleaved with its opponents.

    Args:
        models: opened on one device with the same threads.
        bench: gives the evaluation rows.
        batch_size: rows of a call.
        length: in tokens; `data` for the texts' own lengths.
        repeats: turns.
        seconds: no turn begins after so long, except the first five.
        rest: seconds of sleep before each call.
    """
    calls = [
        _call(model, batches(model, bench, batch_size=batch_size, length=length, count=repeats))
        for model in models.all()
    ]
    timings = interleaved(calls, repeats=repeats, seconds=seconds, rest=rest)
    own = timings[:, models.place_of_row]
    ratio, ratio_interval = _ratio(timings, models.place_of_baseline, own)
    # In PyTorch the baseline is the uncompressed model in this row's runtime.
    reference = models.place_of_baseline if bench.runtime == "pytorch" else models.place_of_reference
    runtime_ratio, runtime_ratio_interval = _ratio(timings, reference, own)
    return Speed(
        batch_size=batch_size,
        sequence_length=length,
        median_seconds=float(np.median(own)),
        p95_seconds=float(np.percentile(own, 95)),
        examples_per_second=batch_size * len(own) / float(own.sum()),
        ratio=ratio,
        ratio_interval=ratio_interval,
        runtime_ratio=runtime_ratio,
        runtime_ratio_interval=runtime_ratio_interval,
        repeats=len(own),
        threads=models.threads,
        device=models.device,
    )


def _call(model: Callable[[Arrays], object], inputs: list[Arrays]) -> Callable[[int], object]:
    return lambda turn: model(inputs[turn % len(inputs)])


def _ratio(timings: np.ndarray, place: int | None, own: np.ndarray) -> tuple[float | None, tuple[float, float] | None]:
    return (None, None) if place is None else median_ratio(timings[:, place], own)
