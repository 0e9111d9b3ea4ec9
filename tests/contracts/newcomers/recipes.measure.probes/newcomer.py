"""A probe that is not there yet."""

from __future__ import annotations

import time

from recipes.measure.probe import Bench, Probe
from recipes.record import Speed


class Newcomer(Probe):
    """Seconds in which the row's model is opened."""

    def speeds(self, bench: Bench) -> list[Speed]:
        before = time.perf_counter()
        bench.model(bench.row, device="cpu", threads=bench.threads)
        seconds = max(time.perf_counter() - before, 1e-9)
        return [
            Speed(
                batch_size=1,
                sequence_length=1,
                median_seconds=seconds,
                p95_seconds=seconds,
                examples_per_second=1 / seconds,
                repeats=1,
                threads=bench.threads,
            )
        ]
