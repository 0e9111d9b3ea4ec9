"""The table of families by the methods that tune them, found by trying each on the tiny twins.

`python -m tests.contracts.tuning_table --write` rewrites the block of `.docs/families.md` between its two markers.
"""

from __future__ import annotations

import sys
from functools import cache

from compress.core.checkpoint.architecture import is_stock
from compress.core.errors import Refusal
from compress.core.model.change import Nothing
from compress.core.stage.context import Context
from compress.core.surgery.biases import AddBiases
from finetune.inserted.adapters.biases import AddZeroBiases
from finetune.merge.stage import Merge
from finetune.method import Method
from tests.contracts.table import PAGE, Cell, drawn, with_block, without_weights
from tests.tiny import FAMILIES

__all__ = ["BEGIN", "END", "rewritten", "rows"]

BEGIN, END = "<!-- tuning:begin -->", "<!-- tuning:end -->"
NARROW = 8
"""The bottleneck of adapters in the tiny models."""
LEGEND = """\
`stock`: the result is merged into the family's own architecture. `yes`: merged, it opens with `compress.load`, or
`from_pretrained(..., trust_remote_code=True)`. `delta`: it cannot be merged, and stays a delta on its base, which
`finetune.load` opens. `no`: the method refuses, for the reason below. `full` works on every family; every other method
also on a base in bf16, int8, nf4 or fp4."""


@cache
def rows() -> dict[str, dict[str, Cell]]:
    """Family -> method -> cell."""
    methods = [_small(kind) for name, kind in Method.members().items() if name != "full"]
    return {name: {method.name: _cell(method, name) for method in methods} for name in FAMILIES}


def rewritten(text: str) -> str:
    """The page with the block between the markers made anew."""
    return with_block(text, BEGIN, END, drawn(rows(), LEGEND))


def _small(kind: type[Method]) -> Method:
    return kind.model_validate({"width": NARROW} if "width" in kind.model_fields else {})


def _cell(method: Method, name: str) -> Cell:
    bundle = without_weights(name)
    if why := method.refuses(bundle.sketch()):
        return "no", f"{method.name}: {why}"
    change = method.change(bundle.sketch())
    added = "biases of zero are added first" if isinstance(change, AddBiases | AddZeroBiases) else ""
    bundle = bundle if isinstance(change, Nothing) else bundle.changed_by(change)
    try:
        merged = Merge().run(bundle, Context())
    except Refusal:
        return "delta", ""
    return ("stock" if is_stock(merged.model, merged.family) else "yes"), added


if __name__ == "__main__":
    text = rewritten(PAGE.read_text("utf-8"))
    if "--write" in sys.argv:
        PAGE.write_text(text, "utf-8")
    else:
        print(drawn(rows(), LEGEND))
