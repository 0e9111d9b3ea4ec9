"""Records with a digest of their own."""

from __future__ import annotations

import json

import pytest

from recipes.sealed import sealed_text, unsealed

FACTS = {"b": [1, 2.5e-7, None], "a": {"name": "é", "nan": float("inf")}}


def test_a_record_reads_back():
    assert unsealed(sealed_text(FACTS)) == FACTS


def test_an_older_record_has_no_digest():
    assert unsealed(json.dumps(FACTS)) == FACTS


def test_any_flipped_bit_is_noticed():
    text = sealed_text({"a": "word", "b": [1, 2.5]}).encode()
    for place in range(len(text)):
        flipped = bytearray(text)
        flipped[place] ^= 1
        try:
            found = unsealed(bytes(flipped).decode())
        except ValueError:
            continue
        assert (
            found.get("digest", "gone") == "gone" and len(found) == 3
        )  # the name of the digest itself, an unknown key


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        unsealed(text)
