"""Damages of files: of bytes, of text, of plain data. Each is drawn by hypothesis, so that a failure shrinks."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

__all__ = ["ODD", "ODD_TEXTS", "damage_file", "damaged_bytes", "damaged_data"]

ODD_TEXTS = (
    "", " ", "~", "~nobody/x", ".", "..", "/", "/dev/null", "a\0b", "\ud800", "\u202e", "é", "x" * 5000,
    "1e308", "nan", "-1", "[", "{", "null", "true", "../../etc/passwd", "%s%s", "{0}", "\x1b[31m", "0x10",
    "1_000", "yes", "a=b", "*x", "&x", "!!python/object:os.system", "- a", "# a", "a: b", "task", "full",
    "source",
)  # fmt: skip
ODD = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.sampled_from([None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, 1e-308]),
    st.sampled_from([[], {}, [[]], [None], {"a": 1}, {"": {}}, [1, "a"], {"0": 0}, [[1, 2], [3]], ["a"] * 50]),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
).map(copy.deepcopy)
"""Values that no setting expects."""


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with one part cut off, taken out, written over, doubled or put in, or with a bit flipped."""
    place = draw(st.integers(0, max(0, len(content) - 1)))
    end = min(len(content), place + draw(st.integers(1, 40)))
    return {
        "cut": lambda: content[:place],
        "out": lambda: content[:place] + content[end:],
        "over": lambda: content[:place] + draw(st.binary(min_size=1, max_size=8)) + content[end:],
        "twice": lambda: content[:end] + content[place:],
        "in": lambda: content[:place] + draw(st.sampled_from(ODD_TEXTS)).encode("utf-8", "replace") + content[place:],
        "flip": lambda: (
            content[:place] + bytes([content[place] ^ 1 << draw(st.integers(0, 7))]) + content[place + 1 :]
            if content
            else b"\0"
        ),
        "none": lambda: b"",
    }[draw(st.sampled_from(["cut", "out", "over", "twice", "in", "flip", "flip", "over", "none"]))]()


@st.composite
def damaged_data(draw: st.DrawFn, data: Any) -> Any:
    """Plain data with one to three of its parts taken out, renamed, doubled, or replaced by an odd value."""
    found = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 3))):
        found = _once(draw, found)
    return found


def _once(draw: st.DrawFn, data: Any) -> Any:
    places = [words for words, _ in _parts(data)]
    words = draw(st.sampled_from(places))
    if not words:
        return draw(ODD) if draw(st.integers(0, 9)) == 0 else data
    owner = data
    for word in words[:-1]:
        owner = owner[word]
    harm = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "wrap", "add"]))
    if harm == "remove":
        del owner[words[-1]]
    elif harm == "wrap":
        owner[words[-1]] = draw(st.sampled_from([[owner[words[-1]]], {"a": owner[words[-1]]}]))
    elif harm == "add" or (harm == "rename" and isinstance(owner, list)):
        value = owner[words[-1]]
        owner.append(copy.deepcopy(value)) if isinstance(owner, list) else owner.update(
            {draw(st.text(max_size=6)): value}
        )
    elif harm == "rename":
        owner[draw(st.sampled_from(ODD_TEXTS))] = owner.pop(words[-1])
    else:
        owner[words[-1]] = draw(ODD)
    return data


def _parts(data: Any, words: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [(words, data), *(part for key, value in inner for part in _parts(value, (*words, key)))][:400]


@st.composite
def damage_file(draw: st.DrawFn, directory: Path) -> tuple[str, bytes | None]:
    """Name of a file in a directory, and its contents after a damage; None where it is removed."""
    name = draw(st.sampled_from(sorted(path.name for path in directory.iterdir() if path.is_file())))
    content = (directory / name).read_bytes()
    harm = draw(st.sampled_from(["data", "data", "data", "bytes", "bytes", "gone"]))
    if harm == "gone":
        return name, None
    if harm == "data" and name.endswith(".json"):
        return name, json.dumps(draw(damaged_data(json.loads(content)))).encode()
    return name, draw(damaged_bytes(content))
