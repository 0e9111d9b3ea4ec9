"""Points at which speed was measured: device, batch size, sequence length."""

from __future__ import annotations

from recipes.record import Report, Row, Speed

__all__ = ["Point", "describe", "points", "short", "speed_at"]

Point = tuple[str, int, int | str]
"""Device, batch size, sequence length."""


def points(report: Report, limit: int | None = None) -> list[Point]:
    """Measured points, the most informative first.

    First the largest batch at the longest fixed length (throughput), then the smallest at the data's own lengths (a
    single request), then the others.

    Args:
        report: of a run.
        limit: how many at most; None gives all.
    """
    seen = dict.fromkeys(_point(speed) for row in report.rows for speed in row.speed)
    if not seen:
        return []
    busiest = max(seen, key=lambda point: (point[2] != "data", point[1], _length(point)))
    quietest = min(seen, key=lambda point: (point == busiest, point[1], point[2] != "data", _length(point)))
    return list(dict.fromkeys([busiest, quietest, *seen]))[:limit]


def speed_at(row: Row, point: Point) -> Speed | None:
    """Speed of a row at a point; None where it was not measured there.

    Args:
        row: of the report.
        point: device, batch size and length.
    """
    return next((speed for speed in row.speed if _point(speed) == point), None)


def describe(point: Point) -> str:
    """`batch 8, length 128`, or `batch 1, own lengths` for batches at the evaluation texts' own lengths."""
    words = f"batch {point[1]}, {'own lengths' if point[2] == 'data' else f'length {point[2]}'}"
    return words if point[0] == "cpu" else f"{words}, {point[0]}"


def short(point: Point) -> str:
    """`batch 8 × 128`, for the head of a narrow column."""
    words = f"batch {point[1]} × {'own' if point[2] == 'data' else point[2]}"
    return words if point[0] == "cpu" else f"{words} {point[0]}"


def _point(speed: Speed) -> Point:
    return (speed.device, speed.batch_size, speed.sequence_length)


def _length(point: Point) -> int:
    return point[2] if isinstance(point[2], int) else -1
