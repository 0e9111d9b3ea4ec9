"""JSON records that carry the digest of their own contents, so that a flipped bit in one is noticed. No torch here."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["DIGEST", "sealed_text", "unsealed"]

DIGEST = "digest"
"""Key of the SHA-256 of everything else in the record; records of older versions have none."""


def sealed_text(facts: dict[str, Any]) -> str:
    """The JSON of a record with its digest."""
    # Read back first: keys that are no strings, and tuples, are written as what they are read as.
    plain = json.loads(json.dumps(facts))
    return json.dumps({**plain, DIGEST: _digest(plain)}, indent=1, sort_keys=True)


def unsealed(text: str) -> dict[str, Any]:
    """The record without its digest; a record of an older version as it is.

    Raises:
        ValueError: it is no mapping in JSON, or not as it was written.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no mapping")
    digest = found.pop(DIGEST, None)
    if digest is not None and digest != _digest(found):
        raise ValueError("it is not as it was written")
    return found


def _digest(facts: dict[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
