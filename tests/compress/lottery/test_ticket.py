"""Tickets as files: the round trip, and what is refused."""

import pytest
import torch
from safetensors.torch import save_file

from compress.core.errors import InputError
from compress.core.model.fingerprint import base_fingerprint
from compress.core.model.matrices import first_stack
from compress.lottery.search import all_ones
from compress.lottery.ticket import Ticket, read_ticket, save_ticket
from tests.tiny import tiny_bundle


@pytest.fixture
def bundle():
    return tiny_bundle("bert", num_hidden_layers=2)


def ticket_of(bundle) -> Ticket:
    draw = torch.Generator().manual_seed(0)
    ones = all_ones(bundle)
    masks = {name: torch.rand(mask.shape, generator=draw) < 0.3 for name, mask in ones.items()}
    mark = base_fingerprint(bundle.model, bundle.family)
    return Ticket.of(bundle, masks, model=mark, round=3, rewind={"step": 4})


def test_what_is_read_is_what_was_written(bundle, tmp_path):
    ticket = ticket_of(bundle)
    again = read_ticket(save_ticket(ticket, tmp_path / "deep" / "one.safetensors"))
    assert again.masks.keys() == ticket.masks.keys()
    assert all(torch.equal(again.masks[name], mask) for name, mask in ticket.masks.items())
    assert (again.model, again.architecture, again.facts) == (ticket.model, "bert", {"round": 3, "rewind": {"step": 4}})
    assert again.kept == ticket.kept and 0.28 < again.remaining < 0.32


def test_a_weight_takes_a_bit(bundle, tmp_path):
    ticket = ticket_of(bundle)
    file = save_ticket(ticket, tmp_path / "one.safetensors")
    assert ticket.size / 8 <= file.stat().st_size < ticket.size / 8 + 4096


def test_it_fits_the_same_encoder_with_another_head(bundle):
    ticket, other = ticket_of(bundle), tiny_bundle("bert", labels=3, num_hidden_layers=2)
    other.model.bert.load_state_dict(bundle.model.bert.state_dict())
    masks = ticket.masks_for(other)
    assert set(masks) == set(first_stack(other))


def test_a_ticket_of_other_weights_is_refused(bundle):
    with pytest.raises(InputError, match="the encoder's weights are not those"):
        ticket_of(bundle).masks_for(tiny_bundle("bert", seed=1, num_hidden_layers=2))


def test_a_ticket_of_another_shape_is_refused_without_weights_too(bundle):
    other = tiny_bundle("bert", num_hidden_layers=1)
    other.model.to("meta")
    with pytest.raises(InputError, match="another model, of type 'bert'"):
        ticket_of(bundle).masks_for(other)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such ticket"):
        read_ticket(tmp_path / "none.safetensors")


def test_a_file_that_is_no_ticket(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="holds no ticket"):
        read_ticket(tmp_path / "a.safetensors")


def test_a_damaged_file(bundle, tmp_path):
    file = save_ticket(ticket_of(bundle), tmp_path / "one.safetensors")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError, match="damaged"):
        read_ticket(file)
