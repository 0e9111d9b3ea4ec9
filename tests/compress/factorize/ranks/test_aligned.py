"""Ranks that are multiples, against the definition."""

from fractions import Fraction

import numpy as np
import pytest

from compress.core.model.linears import Place
from compress.factorize.rank import Rank, cost
from compress.factorize.ranks.aligned import Aligned, aligned_rank
from compress.factorize.ranks.ratio import Ratio
from tests.compress.factorize.given import factorize
from tests.tiny import tiny_bundle
from tests.tiny.stages import refused


def place(outputs, inputs, path="block"):
    return Place(path, ("up",), 0, outputs, inputs)


@pytest.mark.parametrize("multiple", [1, 8, 16, 24])
@pytest.mark.parametrize("share", ["0.25", "0.5", "0.9"])
def test_it_is_the_largest_multiple_within_the_share(share, multiple):
    draw = np.random.default_rng(0)
    for outputs, inputs in draw.integers(24, 1000, (20, 2)).tolist():
        rank = aligned_rank((outputs, inputs), share=Fraction(share), multiple=multiple)
        within = [
            r for r in range(multiple, 1000, multiple) if r * (outputs + inputs) <= Fraction(share) * outputs * inputs
        ]
        assert rank == max(within, default=multiple)


def test_with_a_multiple_of_one_it_is_the_ratio():
    places = [place(768, 768), place(3072, 768), place(3, 2)]
    assert Aligned(ratio=0.3, multiple=1).ranks(places, []) == Ratio(ratio=0.3).ranks(places, [])


def test_never_below_one_multiple():
    small = place(32, 32)
    assert Aligned(ratio=0.1).ranks([small, place(768, 768)], []) == (8, 32)
    # Where one multiple is no smaller than the matrix, the matrix stays, and counts as it is.
    assert Aligned(ratio=0.1, multiple=32).most([small]) == small.size < cost(small, 32)


def test_a_multiple_above_the_width_is_refused():
    places = [place(64, 64), place(64, 12, "encoder.layer.3.output.dense")]
    assert Aligned(ratio=0.5, multiple=12).refuses(places) is None
    assert "of 16, is above the full rank of encoder.layer.3.output.dense, which is 64 x 12" in Aligned(
        ratio=0.5, multiple=16
    ).refuses(places)
    assert "choose a smaller `multiple`" in str(
        refused(factorize(rank={"aligned": {"ratio": 0.5, "multiple": 64}}), tiny_bundle("bert").sketch())
    )


def test_recipe_forms():
    assert Rank.parse({"aligned": 0.5}) == Aligned(ratio=0.5, multiple=8)
    other = Aligned(ratio=0.5, multiple=16)
    assert Rank.parse(other.recipe_form()) == other
