"""Numbers as people read them: each function returns a number with its unit."""

from __future__ import annotations

import math
from collections.abc import Callable

from recipes.record import Interval

__all__ = [
    "DASH", "TIMES", "bytes_", "count", "decimal", "difference", "flops", "interval", "is_percent", "is_shown", "nats",
    "plain_number", "point", "probability", "ratio", "score", "seconds", "signed",
]  # fmt: skip

DASH = "–"
TIMES = "×"
MINUS = "−"
PERCENT_METRICS = frozenset({"accuracy"})
"""Metrics that are shares; their differences are given in percentage points. The others stay on their own scale."""


def plain_number(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits, without an exponent from 0.0001 on, with a real minus sign."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])
    if exponent < -4:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    return f"{value:,.{max(digits - 1 - exponent, 0)}f}".replace("-", MINUS)


def decimal(value: float, places: int) -> str:
    return f"{value:,.{places}f}".replace("-", MINUS)


def signed(value: float, places: int) -> str:
    """With a plus or minus sign; what rounds to nothing has none."""
    text = f"{value:+,.{places}f}"
    return text[1:] if float(text.replace(",", "")) == 0 else text.replace("-", MINUS)


def bytes_(value: float) -> str:
    """MB is 10^6 bytes."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{plain_number(value / size)} {unit}"
    return f"{value:,.0f} B"


def count(value: float) -> str:
    """`22.7 M` from a million on, else every digit."""
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{plain_number(value / size)} {unit}"
    return f"{value:,.0f}"


def flops(value: float) -> str:
    """A multiply-add is two."""
    for unit, size in (("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)):
        if value >= size:
            return f"{plain_number(value / size)} {unit}"
    return f"{value:,.0f} FLOP"


def seconds(value: float) -> str:
    """From microseconds to hours."""
    if value < 0.9995:
        return f"{plain_number(value * 1e3)} ms" if value >= 1e-3 or value == 0 else f"{plain_number(value * 1e6)} µs"
    if value < 59.95:
        return f"{plain_number(value)} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def ratio(value: float) -> str:
    return f"{plain_number(value, 2 if value < 10 else 3)}{TIMES}"


def probability(value: float) -> str:
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def nats(value: float) -> str:
    return f"{plain_number(value)} nat"


def is_percent(metric: str) -> bool:
    return metric in PERCENT_METRICS


def score(metric: str, value: float) -> str:
    """A value of the metric: `90.3 %` for a share, `0.812` for the rest."""
    return f"{decimal(value * 100, 1)} %" if is_percent(metric) else decimal(value, 3)


def point(metric: str, value: float) -> str:
    """A difference of two values of the metric, without its unit: `−0.6`."""
    return signed(value * 100, 1) if is_percent(metric) else signed(value, 3)


def difference(metric: str, value: float) -> str:
    """A difference of two values of the metric: `−0.6 pp` (percentage points), or `−0.006`."""
    return f"{point(metric, value)} pp" if is_percent(metric) else point(metric, value)


def interval(limits: Interval, show: Callable[[float], str]) -> str:
    return f"[{show(limits[0])}, {show(limits[1])}]"


def is_shown(limits: Interval | None, nothing: float, p_value: float | None = None) -> bool:
    """Whether the data show a difference: its interval leaves out `nothing`, and no test contradicts (5 %)."""
    if limits is None or limits[0] <= nothing <= limits[1]:
        return False
    return p_value is None or p_value < 0.05
