"""Formatting of numbers for people: each function returns a number with its unit."""

from __future__ import annotations

import math
from collections.abc import Callable

from recipes.record import Interval

__all__ = [
    "DASH", "TIMES", "bytes_", "count", "counted", "decimal", "difference", "drop", "flops", "interval", "is_percent",
    "is_shown", "nats", "plain_number", "point", "probability", "ratio", "score", "seconds", "signed",
]  # fmt: skip

DASH = "–"
TIMES = "×"
MINUS = "−"
PERCENT_METRICS = frozenset({"accuracy"})
"""Metrics that are shares; their differences are given in percentage points. The others stay on their own scale."""


def plain_number(value: float, digits: int = 3) -> str:
    """Number without an exponent from 0.0001 on, with a real minus sign.

    Args:
        value: any number.
        digits: significant digits.
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])
    if exponent < -4:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    return f"{value:,.{max(digits - 1 - exponent, 0)}f}".replace("-", MINUS)


def decimal(value: float, places: int) -> str:
    """Number with fixed decimals and a real minus sign.

    Args:
        value: any number.
        places: digits after the point.
    """
    return f"{value:,.{places}f}".replace("-", MINUS)


def signed(value: float, places: int) -> str:
    """Number with a plus or minus sign; what rounds to zero has none.

    Args:
        value: any number.
        places: digits after the point.
    """
    text = f"{value:+,.{places}f}"
    return text[1:] if float(text.replace(",", "")) == 0 else text.replace("-", MINUS)


def bytes_(value: float) -> str:
    """Size in bytes, kB, MB or GB; MB is 10^6 bytes."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{plain_number(value / size)} {unit}"
    return f"{value:,.0f} B"


def count(value: float) -> str:
    """Count: `22.7 M` from a million on, else every digit."""
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{plain_number(value / size)} {unit}"
    return f"{value:,.0f}"


def counted(number: int, noun: str) -> str:
    """A number of things: `1 thread`, `2 threads`.

    Args:
        number: how many.
        noun: in the singular, with a plural in s.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def flops(value: float) -> str:
    """Floating-point operations; a multiply-add is two."""
    for unit, size in (("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)):
        if value >= size:
            return f"{plain_number(value / size)} {unit}"
    return f"{value:,.0f} FLOP"


def seconds(value: float) -> str:
    """Duration, from microseconds to hours."""
    if value < 0.9995:
        return f"{plain_number(value * 1e3)} ms" if value >= 1e-3 or value == 0 else f"{plain_number(value * 1e6)} µs"
    if value < 59.95:
        return f"{plain_number(value)} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def ratio(value: float) -> str:
    """Ratio with a times sign: `2.3×`."""
    return f"{plain_number(value, 2 if value < 10 else 3)}{TIMES}"


def probability(value: float) -> str:
    """p value: `p = 0.012`, or `p < 0.001`."""
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def nats(value: float) -> str:
    """KL divergence in nats."""
    return f"{plain_number(value)} nat"


def is_percent(metric: str) -> bool:
    """Whether a metric is a share, shown in percent."""
    return metric in PERCENT_METRICS


def score(metric: str, value: float) -> str:
    """A value of the metric: `90.3 %` for a share, `0.812` for the rest.

    Args:
        metric: its name.
        value: on the metric's own scale; of a share from 0 to 1.
    """
    return f"{decimal(value * 100, 1)} %" if is_percent(metric) else decimal(value, 3)


def point(metric: str, value: float) -> str:
    """A difference of two values of the metric, without its unit: `−0.6`.

    Args:
        metric: its name.
        value: difference, on the metric's own scale.
    """
    return signed(value * 100, 1) if is_percent(metric) else signed(value, 3)


def difference(metric: str, value: float) -> str:
    """A difference of two values of the metric: `−0.6 pp` (percentage points), or `−0.006`.

    Args:
        metric: its name.
        value: difference, on the metric's own scale.
    """
    return f"{point(metric, value)} pp" if is_percent(metric) else point(metric, value)


def drop(metric: str, value: float) -> str:
    """How far the metric fell, without a sign; where it rose, how far it rose: `0.4 pp`, `a gain of 0.4 pp`.

    Args:
        metric: its name.
        value: the fall, on the metric's own scale.
    """
    text = difference(metric, abs(value)).lstrip("+")
    return text if value >= 0 or text == difference(metric, 0.0) else f"a gain of {text}"


def interval(limits: Interval, show: Callable[[float], str]) -> str:
    """Interval in brackets.

    Args:
        limits: lower and upper end.
        show: formats an end.
    """
    return f"[{show(limits[0])}, {show(limits[1])}]"


def is_shown(limits: Interval | None, nothing: float, p_value: float | None = None) -> bool:
    """Whether a difference is statistically shown: its interval excludes `nothing`, and no test contradicts (5 %).

    Args:
        limits: 95 % interval; None where there is none.
        nothing: the value of no difference: 0 of differences, 1 of ratios.
        p_value: of a test, if there was one.
    """
    if limits is None or limits[0] <= nothing <= limits[1]:
        return False
    return p_value is None or p_value < 0.05
