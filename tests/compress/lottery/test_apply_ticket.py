"""A ticket on a fresh model: from a file, from an earlier stage, a control in its place, and what is refused."""

import pytest
import torch

from compress.core.errors import InputError
from compress.core.model.fingerprint import base_fingerprint
from compress.core.model.matrices import first_stack
from compress.core.stage.context import Context
from compress.lottery.apply_ticket import ApplyTicket
from compress.lottery.search import all_ones, keep_largest
from compress.lottery.ticket import Ticket, save_ticket
from tests.tiny import tiny_bundle
from tests.tiny.stages import refused


def bundle(**settings):
    return tiny_bundle("bert", num_hidden_layers=2, **settings)


@pytest.fixture
def place(tmp_path):
    """A stage's directory with tickets of two rounds."""
    given = bundle()
    masks = all_ones(given)
    for number, kept in ((1, 2000), (2, 1000)):
        masks = keep_largest({name: given.model.get_parameter(name) for name in masks}, masks, kept)
        ticket = Ticket.of(given, masks, model=base_fingerprint(given.model, given.family), round=number)
        save_ticket(ticket, tmp_path / "tickets" / "seed-1" / f"round-{number:02d}.safetensors")
    return tmp_path


def kept(masks) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def test_a_file_cuts_a_fresh_model_and_leaves_the_rest_as_it_was(place):
    ctx, fresh = Context(), bundle()
    file = place / "tickets" / "seed-1" / "round-01.safetensors"
    found = ApplyTicket(ticket=str(file)).run(bundle(), ctx)
    assert kept(found.masks) == 2000 and found.states == {"masked"}
    for name, tensor in found.model.state_dict().items():
        mask = found.masks.get(name, torch.ones_like(tensor, dtype=torch.bool))
        assert torch.equal(tensor[mask], fresh.model.state_dict()[name][mask]) and not tensor[~mask].any()
    assert ctx.facts["ticket"]["round"] == 1 and ctx.facts["ticket"]["kept"] == 2000


@pytest.mark.parametrize(("settings", "count"), [({}, 1000), ({"round": 1}, 2000), ({"seed": 1, "round": 2}, 1000)])
def test_a_stage_of_this_recipe_names_its_tickets(place, settings, count):
    found = ApplyTicket(found_by="search", **settings).run(bundle(), Context(places={"search": place}))
    assert kept(found.masks) == count


def test_a_control_stands_in_its_place_at_its_size(place):
    stage = ApplyTicket.model_validate({"found_by": "search", "control": "random_mask"})
    ticket = ApplyTicket(found_by="search").run(bundle(), Context(places={"search": place}))
    found = stage.run(bundle(), Context(places={"search": place}))
    assert kept(found.masks) == 1000 and stage.requires().draws
    assert any(not torch.equal(mask, ticket.masks[name]) for name, mask in found.masks.items())


def test_shuffled_weights_stand_under_the_tickets_mask(place):
    stage = ApplyTicket.model_validate({"found_by": "search", "control": "shuffled_weights"})
    ticket = ApplyTicket(found_by="search").run(bundle(), Context(places={"search": place}))
    found = stage.run(bundle(), Context(places={"search": place}))
    name = next(iter(first_stack(found)))
    assert torch.equal(found.masks[name], ticket.masks[name])
    assert not torch.equal(found.model.get_parameter(name), ticket.model.get_parameter(name))


@pytest.mark.parametrize("settings", [{"seed": 0}, {"round": 3}])
def test_a_ticket_that_was_not_found(place, settings):
    with pytest.raises(InputError, match="there are seeds 1"):
        ApplyTicket(found_by="search", **settings).run(bundle(), Context(places={"search": place}))


def test_a_ticket_of_another_model_is_refused(place):
    file = str(place / "tickets" / "seed-1" / "round-01.safetensors")
    with pytest.raises(InputError, match="of another model"):
        ApplyTicket(ticket=file).run(bundle(seed=1), Context())
    assert "of type 'bert'" in refused(ApplyTicket(ticket=file), tiny_bundle("roberta").sketch())


def test_a_ticket_of_another_shape_is_found_before_any_work(place):
    stage = ApplyTicket(ticket=str(place / "tickets" / "seed-1" / "round-01.safetensors"))
    for other in (tiny_bundle("bert"), tiny_bundle("bert", hidden_size=16, num_hidden_layers=2)):
        other.model.to("meta")
        with pytest.raises(InputError, match="of another model"):
            stage.check(other, None)


def test_a_file_that_is_not_there_is_found_before_any_work(tmp_path):
    assert "no such ticket" in refused(ApplyTicket(ticket=str(tmp_path / "none.safetensors")), bundle().sketch())


@pytest.mark.parametrize(
    "settings", [{}, {"ticket": "a", "found_by": "b"}, {"ticket": "a", "round": 2}, {"ticket": "a", "seed": 0}]
)
def test_one_ticket_is_named(settings):
    with pytest.raises(ValueError, match=r"either by its file|a file is one ticket"):
        ApplyTicket.model_validate(settings)
