import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from compress.core.stage.context import Context
from compress.core.stage.exhibit import (
    Column,
    Curves,
    Cut,
    Entry,
    Exhibit,
    Heatmap,
    Line,
    Number,
    Spectrum,
    Table,
    kept_units,
)

EXHIBITS = (
    Heatmap(title="heads", rows=("layer 0",), values=((0.5, 0.1),), kept=((0,),), of=(2,)),
    Curves(title="loss", lines=(Line(name="loss", values=(2.0, 1.0)),)),
    Spectrum(title="query", lines=(Cut(name="layer 0", values=(1.0, 0.5), at=None, of=2, kept=1.0),)),
    Table(title="tickets", columns=(Column(title="left"),), rows=((Entry(main=Number(value=0.5, unit="share")),),)),
)


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda one: one.kind)
def test_each_kind_reads_back_from_plain_data(exhibit: Exhibit) -> None:
    assert TypeAdapter(Exhibit).validate_json(exhibit.model_dump_json()) == exhibit
    assert hash(exhibit) is not None


def test_a_stage_shows_several() -> None:
    ctx = Context()
    ctx.show(*EXHIBITS[:2])
    ctx.show(EXHIBITS[2])
    assert ctx.exhibits == list(EXHIBITS[:3])


def test_the_values_need_no_torch() -> None:
    code = "import sys, compress.core.stage.exhibit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": ((1.0,),)},
        {"kept": ()},
        {"values": ((float("nan"), 0.0),)},
        {"of": (2, 2)},
    ],
)
def test_a_heat_map_whose_lists_disagree_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Heatmap.model_validate({"title": "heads", "rows": ("layer 0",), "of": (2,), **wrong})


def test_a_row_has_an_entry_for_each_column() -> None:
    with pytest.raises(ValidationError, match="1 entries"):
        Table(title="tickets", columns=(Column(title="left"),), rows=((),))


def test_what_stays_is_found_in_a_change_s_summary() -> None:
    summary = {
        "heads": {"kept": [[0], [1], []], "of": [2, 3, 2], "kinds": ["encoder", "decoder", "cross-attention"]},
        "layers": {"kept": [0, 2], "of": 4},
        "weights": {"kept": 12, "of": 24},
        "ranks": [1, 2],
    }
    heads, layers = kept_units(summary)
    assert heads.rows == ("encoder 0", "decoder 0", "cross 0") and heads.of == (2, 3, 2)
    assert layers.kept == ((0, 2),) and layers.rows == ("layers",) and layers.of == (4,)
