"""What runs by default where a test is a cross product with the families: two of them, and the others under `slow`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

__all__ = ["QUICK_FAMILIES", "others_are_slow"]

QUICK_FAMILIES = ("bert", "t5")
"""The plain encoder, and the one that differs most: a decoder, no biases, one bias table for all blocks."""
CHOSEN = 3
"""A test of no more families than these has chosen them for what they are, and keeps them."""


def others_are_slow(items: Iterable[pytest.Item]) -> None:
    """Mark the cases of a family and of something else, where a quick family is tried with the same.

    A test over the families alone keeps them all.
    """
    from tests.tiny import FAMILIES

    tests: dict[str, list[tuple[pytest.Item, str, str]]] = defaultdict(list)
    for item in items:
        values = list(item.callspec.params.values()) if hasattr(item, "callspec") else []
        family = next((value for value in values if isinstance(value, str) and value in FAMILIES), None)
        if family is not None and len(values) > 1:
            values.remove(family)
            tests[item.nodeid.split("[")[0]].append((item, family, repr(values)))
    for cases in tests.values():
        if len({family for _, family, _ in cases}) > CHOSEN:
            tried = {rest for _, family, rest in cases if family in QUICK_FAMILIES}
            for item, family, rest in cases:
                if family not in QUICK_FAMILIES and rest in tried:
                    item.add_marker(pytest.mark.slow)
