"""Draws parts of the data, by seed."""

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
    """Sorted indices of `count` rows drawn by `seed`.

    Args:
        labels: of all rows, (rows,).
        count: how many to draw, at most all.
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
    """`count` divided over groups of these sizes, in proportion, by largest remainder."""
    exact = sizes * (min(count, sizes.sum()) / sizes.sum())
    counts = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(counts.sum())
    # A stable sort gives ties to the first class, so that the draw is the same everywhere.
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return counts


def fingerprint(columns: Iterable[Sequence[object]]) -> str:
    """SHA-256 of columns of strings and numbers, each value with its length, so that no two contents look alike."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update(b"column")
        for value in column:
            data = str(value).encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
    return digest.hexdigest()
