"""The seeds that a search or a study is repeated for."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from compress.core.values import Seed

__all__ = ["Seeds"]


def _unlike(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is given twice")
    return seeds


Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_unlike)]
