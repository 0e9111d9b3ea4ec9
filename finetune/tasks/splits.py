"""Stratified random sampling of rows by seed, and fingerprints of data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["SELECT_LIMIT", "SELECT_SHARE", "draw", "fingerprint", "select_size"]

SELECT_SHARE = 0.05
SELECT_LIMIT = 2000


def select_size(rows: int) -> int:
    """How many of `rows` training rows are set apart for *select*."""
    return min(SELECT_LIMIT, max(1, round(SELECT_SHARE * rows)))


def draw(labels: np.ndarray, count: int, *, seed: int, stratified: bool) -> np.ndarray:
    """A random sample of rows without replacement: `count` indices in ascending order.

    Args:
        labels: of all rows, (rows,).
        count: how many to draw, at most all.
        seed: of the draw.
        stratified: each class keeps its share, by largest remainder; else every row is as likely.
    """
    random = np.random.default_rng(seed)
    if not stratified:
        return np.sort(random.permutation(len(labels))[:count])
    classes, sizes = np.unique(labels, return_counts=True)
    counts = shares(sizes, count)
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:size] for label, size in zip(classes, counts, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def shares(sizes: np.ndarray, count: int) -> np.ndarray:
    """Proportional allocation by largest remainder: how many of `count` each group gets, (groups,) int64.

    Args:
        sizes: rows of each group, (groups,).
        count: rows to divide, at most all.
    """
    exact = sizes * (min(count, sizes.sum()) / sizes.sum())
    counts = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(counts.sum())
    # A stable sort gives ties to the first class, so that the draw is the same everywhere.
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return counts


def fingerprint(columns: Iterable[Sequence[object]]) -> str:
    """SHA-256 of columns of texts and numbers, each value with its length, so that no two contents look alike."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update(b"column")
        for value in column:
            data = str(value).encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
    return digest.hexdigest()
