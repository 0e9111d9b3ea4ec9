"""What holds for every test: no network, one thread for each worker, shapes checked, no garbage sought in imports."""

import gc
import os
import sys

import pytest

from tests.selection import others_are_slow
from tests.shapes import check_shapes

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

check_shapes()
looked_at = 0


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each fit of transformers ends in `gc.collect()`, which walks over half a million objects of the imports."""
    global looked_at
    if len(sys.modules) > looked_at + 100:
        gc.collect()
        gc.freeze()
        looked_at = len(sys.modules)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` selects by the marks."""
    others_are_slow(items)
