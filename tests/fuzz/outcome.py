"""What a foreign input may come to: a result, or one error of the toolkit with a message that fits on a screen."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

from compress.core.errors import TrimformerError

__all__ = ["assert_survives", "inputs"]

MORE = int(os.environ.get("TRIMFORMER_FUZZ", "0"))
"""How many times as many inputs, drawn anew in each run; unless given the inputs are always the same."""
LONGEST = 8_000
"""Characters of a message, which lists up to twenty mistakes."""


def inputs(count: int) -> settings:
    """Hypothesis for `count` inputs of a kind."""
    return settings(
        max_examples=count * max(1, MORE),
        derandomize=not MORE,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def assert_survives(work: Callable[[], Any]) -> Any:
    """What `work` gives, or None where it raises an error of the toolkit; every other exception is a failure."""
    try:
        return work()
    except TrimformerError as error:
        message = str(error)
        assert (message.strip() and message.isprintable()) or "\n" in message
        assert len(message) < LONGEST, f"a message of {len(message)} characters: {message[:300]}"
        return None
