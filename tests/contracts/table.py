"""The table of families by what can be cut and tuned, found by trying it on the tiny twins.

`python -m tests.contracts.table --write` rewrites the block of `.docs/families.md` between its two markers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from compress.core.checkpoint.architecture import is_stock
from compress.core.families.family import Family, family_of
from compress.core.model.bundle import Bundle
from compress.core.model.embeddings import named_words, word_count
from compress.core.model.sharing import share_blocks
from compress.core.surgery.embeddings import keep_positions, keep_words
from compress.core.surgery.heads_and_neurons import head_counts, keep_heads, keep_neurons, neuron_counts
from compress.core.surgery.layers import keep_layers
from compress.core.surgery.width import keep_width
from compress.factorize.stage import Factorize
from compress.vocabulary.tokenizers.trimming import new_ids
from tests.contracts.cuts import SOME_WIDTH, some_layers
from tests.tiny import FAMILIES, tiny_bundle
from tests.tiny.stages import predicted, refused

__all__ = [
    "BEGIN",
    "COLUMNS",
    "END",
    "PAGE",
    "Cell",
    "drawn",
    "rewritten",
    "rows",
    "table",
    "with_block",
    "without_weights",
]

BEGIN, END = "<!-- families:begin -->", "<!-- families:end -->"
PAGE = Path(__file__).parents[2] / ".docs" / "families.md"
LEGEND = """\
`stock`: the result is saved as the family's own architecture and opens with plain `from_pretrained` (neurons and heads:
where all layers keep the same number). `yes`: it opens with `compress.load`, or `from_pretrained(...,
trust_remote_code=True)` where this package is not installed. `no`: the stages refuse, for the reason below. Layers,
neurons and heads are cut; blocks share tensors."""

Cell = tuple[str, str]
"""`stock`, `yes` or `no`, and a remark; `no` must have one."""


def layers(family: Family) -> Cell:
    if "layers" in family.refusals:
        return "no", family.refusals["layers"]
    model = _fresh(family)
    keep_layers(model, family, some_layers(family))
    remark = f"the first layer must stay: {family.needs_first_layer}" if family.needs_first_layer else ""
    return _kind(model, family), remark


def neurons(family: Family) -> Cell:
    if "neurons" in family.refusals:
        return "no", family.refusals["neurons"]
    model = _fresh(family)
    keep_neurons(model, family, tuple(tuple(range(0, count, 2)) for count in neuron_counts(model, family)))
    return _kind(model, family), ""


def heads(family: Family) -> Cell:
    if "heads" in family.refusals:
        return "no", family.refusals["heads"]
    model = _fresh(family)
    keep_heads(model, family, tuple((0, 2) for _ in head_counts(model, family)))
    remark = "one set of heads for all layers, which share a position bias" if family.one_set_of_heads else ""
    return _kind(model, family), remark


def width(family: Family) -> Cell:
    if "width" in family.refusals:
        return "no", family.refusals["width"]
    model = _fresh(family)
    keep_width(model, family, SOME_WIDTH)
    return _kind(model, family), ""


def linears(family: Family) -> Cell:
    return _factorized(family, "linears", 6)


def embeddings(family: Family) -> Cell:
    return _factorized(family, "embeddings", 6)


def _factorized(family: Family, what: str, rank: int) -> Cell:
    stage = Factorize.model_validate({"what": what, "rank": rank, "recover": "none"})
    bundle = Bundle(_fresh(family), None)
    sketch = bundle.sketch()
    why = refused(stage, sketch)
    if why:
        return "no", why
    return _kind(predicted(stage, bundle).model, family), ""


def blocks(family: Family) -> Cell:
    if "blocks" in family.refusals:
        return "no", family.refusals["blocks"]
    model = _fresh(family)
    share_blocks(model, family, what="all", groups=((0, 1), (2, 3)), sources=((0,), (2,)))
    return _kind(model, family), ""


def vocabulary(family: Family) -> Cell:
    if "vocabulary" in family.refusals:
        return "no", family.refusals["vocabulary"]
    model = _fresh(family)
    needed = named_words(model, family)
    keep_words(model, family, new_ids(needed | set(range(0, word_count(model, family), 2))))
    return _kind(model, family), ""


def positions(family: Family) -> Cell:
    if "positions" in family.refusals:
        return "no", family.refusals["positions"]
    model = _fresh(family)
    keep_positions(model, family, 20)
    return _kind(model, family), ""


# A further column is one more function here: Family -> Cell.
COLUMNS: dict[str, Callable[[Family], Cell]] = {
    "layers": layers,
    "neurons": neurons,
    "heads": heads,
    "width": width,
    "low-rank linears": linears,
    "factorized words": embeddings,
    "shared blocks": blocks,
    "vocabulary": vocabulary,
    "positions": positions,
}


@cache
def rows() -> dict[str, dict[str, Cell]]:
    """Family -> column -> cell."""
    return {name: {title: cell(family_of(name)) for title, cell in COLUMNS.items()} for name in FAMILIES}


def table() -> str:
    """The table and its footnotes, in Markdown."""
    return drawn(rows(), LEGEND)


def drawn(found: dict[str, dict[str, Cell]], legend: str) -> str:
    """Any such table, with its footnotes."""
    columns = next(iter(found.values()))
    notes: list[str] = []
    lines = [f"| family | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, cells in found.items():
        shown = [f"`{name}`{_mark(family_of(name).remark, notes)}"]
        shown += [f"{word}{_mark(remark, notes)}" for word, remark in cells.values()]
        lines.append(f"| {' | '.join(shown)} |")
    footnotes = [f"{number}. {note}." for number, note in enumerate(notes, 1)]
    return "\n".join([*lines, "", legend, "", *footnotes])


def rewritten(text: str) -> str:
    """The page with the block between the markers made anew."""
    return with_block(text, BEGIN, END, table())


def with_block(text: str, begin: str, end: str, block: str) -> str:
    """`text` with `block` between its two markers."""
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{block}\n{end}{after}"


def _mark(remark: str, notes: list[str]) -> str:
    if not remark:
        return ""
    if remark not in notes:
        notes.append(remark)
    return f" ({notes.index(remark) + 1})"


@cache
def _twin(name: str) -> Bundle:
    with torch.device("meta"):
        return tiny_bundle(name)


def without_weights(name: str) -> Bundle:
    """A copy of the tiny model of a family, made once."""
    return _twin(name).copy()


def _fresh(family: Family) -> torch.nn.Module:
    return without_weights(family.model_type).model


def _kind(model: torch.nn.Module, family: Family) -> str:
    return "stock" if is_stock(model, family) else "yes"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(rewritten(PAGE.read_text("utf-8")), "utf-8")
    else:
        print(table())
