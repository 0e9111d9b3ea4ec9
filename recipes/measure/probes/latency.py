"""Latency of one call, interleaved with the baseline and the uncompressed model in the same runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from compress.core.values import Count, Positive
from recipes.measure.probe import Bench, Probe
from recipes.record import Speed

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle

__all__ = ["Latency"]


class Latency(Probe):
    """Median and 95th percentile of the seconds of one call, with the ratio to the baseline.

    The models take turns (baseline, this row, the uncompressed model in this row's runtime, and again), so that a noisy
    machine is as noisy for each; the ratio is the median of the ratios within a turn, with its interval. Before each
    call the machine rests: threads of another runtime that still spin would slow the call down and flatter the ratio.
    """

    batch_sizes: tuple[Count, ...] = Field(
        (1, 8), min_length=1, description="rows of one call; the first is how it is served"
    )
    sequence_lengths: tuple[Count | Literal["data"], ...] = Field(
        (128, "data"), min_length=1, description="tokens; `data`: batches of evaluation texts at their own lengths"
    )
    threads: Count | None = Field(None, description="in every runtime; those of affinity and quota unless given")
    device: Literal["auto", "cpu", "cuda"] = Field("cpu", description="where it is timed; exports always on the CPU")
    repeats: Count = Field(12, description="timed turns for each point")
    seconds: Positive = Field(6.0, description="a slow model's turns end after so long, but not before the fifth")
    rest: float = Field(0.05, ge=0.05, le=10, description="seconds of sleep before each call")

    def refuses(self, model: Bundle) -> str | None:
        import torch

        from recipes.measure.inputs import longest_input

        if self.device == "cuda" and not torch.cuda.is_available():
            return "latency is asked on cuda, and there is no GPU that PyTorch can use"
        longest = max((length for length in self.sequence_lengths if length != "data"), default=0)
        most = longest_input(model.config, model.processor)
        if most is not None and longest > most:
            return f"latency is asked at a length of {longest} tokens, and the model reads at most {most}"
        return None

    @property
    def served(self) -> int:
        return self.batch_sizes[0]

    def speeds(self, bench: Bench) -> list[Speed]:
        from recipes.measure.probes.interleaved import speed
        from recipes.measure.runners import opponents

        rivals = opponents(bench, device=self.device, threads=self.threads or bench.threads)
        return [
            speed(rivals, bench, batch_size, length, repeats=self.repeats, seconds=self.seconds, rest=self.rest)
            for batch_size in self.batch_sizes
            for length in self.sequence_lengths
        ]
