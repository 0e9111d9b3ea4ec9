"""Layers that a student copies and imitates."""

import pytest

from compress.core.errors import InputError
from compress.distill.layer_map import evenly_spaced, kept_layers, matched_layers


def test_six_of_twelve_are_those_of_distilbert():
    assert evenly_spaced(6, 12) == (0, 2, 4, 7, 9, 11)
    assert kept_layers(None, 12) == kept_layers(6, 12) == (0, 2, 4, 7, 9, 11)


@pytest.mark.parametrize("of", range(1, 25))
def test_any_number_is_rising_and_holds_both_ends(of):
    for count in range(1, of + 1):
        kept = kept_layers(count, of)
        assert len(set(kept)) == count and list(kept) == sorted(kept)
        assert kept[0] == 0 and (kept[-1] == of - 1 or count == 1)
        matched = matched_layers(count, of)
        assert len(set(matched)) == count and matched[-1] == of - 1
    assert kept_layers(of, of) == matched_layers(of, of) == tuple(range(of))


def test_matched_layers_are_tinyberts_where_depths_divide():
    assert matched_layers(3, 6) == (1, 3, 5)
    assert matched_layers(4, 12) == (2, 5, 8, 11)


def test_every_other_layer_is_the_default():
    assert [len(kept_layers(None, of)) for of in (1, 2, 3, 6, 12)] == [1, 1, 2, 3, 6]


@pytest.mark.parametrize("layers", [7, (), (2, 1), (1, 1), (-1, 2), (0, 6)])
def test_layers_that_are_not_there_are_named(layers):
    with pytest.raises(InputError, match="of 6"):
        kept_layers(layers, 6)
