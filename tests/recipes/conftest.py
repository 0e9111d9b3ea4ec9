"""What whole runs share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.recipes.forked import Forked


@pytest.fixture(scope="session")
def libraries() -> Iterator[Forked]:
    forked = Forked()
    yield forked
    forked.close()


@pytest.fixture(scope="module")
def quick_workers(libraries: Forked) -> Iterator[None]:
    """What measures need not import the libraries anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recipes.measure.job.subprocess", libraries)
        yield
