"""Jaccard's index of masks that are small enough to count by hand."""

import pytest
import torch

from compress.core.errors import InputError
from compress.lottery.__main__ import main
from compress.lottery.overlap import Overlap, by_chance, jaccard, overlap, overlap_by_parameter
from compress.lottery.ticket import Ticket, save_ticket


def ticket_at(file, masks, model="one"):
    return str(save_ticket(Ticket(masks, model, "bert"), file))


def mask(*bits: int) -> torch.Tensor:
    return torch.tensor(bits, dtype=torch.bool)


ONE = {"a": mask(1, 1, 0, 0), "b": mask(1, 0)}
OTHER = {"a": mask(1, 0, 1, 0), "b": mask(1, 0)}


def test_jaccard_counts_what_both_have_over_what_either_has():
    assert jaccard(mask(1, 1, 0, 0), mask(1, 0, 1, 0)) == 1 / 3


def test_two_empty_masks_agree():
    assert jaccard(mask(0, 0), mask(0, 0)) == 1.0


def test_each_parameter_has_an_overlap_of_what_is_kept_and_of_what_is_removed():
    assert overlap_by_parameter(ONE, OTHER) == {"a": Overlap(1 / 3, 1 / 3), "b": Overlap(1.0, 1.0)}


def test_all_parameters_together_are_counted_together():
    # Both keep 2 of the 4 that either keeps; both remove 2 of the 4 that either removes.
    assert overlap(ONE, OTHER) == Overlap(2 / 4, 2 / 4)


def test_a_ticket_overlaps_itself():
    assert overlap(ONE, ONE) == Overlap(1.0, 1.0)


@pytest.mark.parametrize("remaining", [0.25, 0.5, 0.9])
def test_random_masks_overlap_as_much_as_chance_says(remaining):
    draw = torch.Generator().manual_seed(0)
    one, other = ({"a": torch.rand(200_000, generator=draw) < remaining} for _ in range(2))
    found, expected = overlap(one, other), by_chance(remaining)
    assert found.kept == pytest.approx(expected.kept, abs=0.005)
    assert found.removed == pytest.approx(expected.removed, abs=0.005)


@pytest.mark.parametrize("other", [{"c": mask(1)}, {"a": mask(1), "b": mask(1, 0)}])
def test_masks_of_another_model_are_not_compared(other):
    with pytest.raises(InputError, match="different"):
        overlap(ONE, other)


def test_masks_of_two_sizes_have_their_own_chance():
    assert by_chance(0.5, 0.25).kept == pytest.approx(0.125 / 0.625)
    assert by_chance(0.5, 0.25).removed == pytest.approx(0.375 / 0.875)
    assert by_chance(0.3) == by_chance(0.3, 0.3)


def test_two_files_are_compared(tmp_path, capsys):
    one, other = (ticket_at(tmp_path / f"{n}.safetensors", masks) for n, masks in enumerate((ONE, OTHER)))
    assert main([one, other]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == [["matrix", "kept", "removed"], ["all", "0.500", "0.500"], ["by", "chance", "0.333", "0.333"]]
    assert lines[3:] == [["a", "0.333", "0.333"], ["b", "1.000", "1.000"]]


def test_tickets_of_different_weights_are_said_to_be_so(tmp_path, capsys):
    files = [ticket_at(tmp_path / f"{model}.safetensors", ONE, model) for model in ("one", "two")]
    assert main(files) == 0 and "found in models of different weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("masks", "message"), [({"a": ONE["a"]}, "different parameters"), (None, "there is no such ticket")]
)
def test_what_cannot_be_compared_is_named(tmp_path, capsys, masks, message):
    one, other = ticket_at(tmp_path / "one.safetensors", ONE), tmp_path / "two.safetensors"
    if masks:
        ticket_at(other, masks)
    assert main([one, str(other)]) == 2 and message in capsys.readouterr().err
    assert main([one]) == 2 and "two tickets are compared" in capsys.readouterr().err
