"""From shapes and spectra to ranks."""

from itertools import product

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from compress.core.model.linears import Place
from compress.factorize.rank import Rank, cost, saves
from compress.factorize.ranks.budget import Budget, spread_budget
from compress.factorize.ranks.energy import Energy, rank_for_energy
from compress.factorize.ranks.number import Number
from compress.factorize.ranks.ratio import Ratio


def place(outputs, inputs, path="block"):
    return Place(path, ("up",), 0, outputs, inputs)


def test_ratio_keeps_at_most_that_share():
    places = [place(768, 768), place(3072, 768), place(3, 2)]
    ranks = Ratio(ratio=0.5).ranks(places, [])
    assert ranks == (192, 307, 1)
    for one, rank in zip(places[:2], ranks):
        assert cost(one, rank) <= one.size / 2 < cost(one, rank + 1)


def test_what_saves():
    assert saves(place(768, 768), 383) and not saves(place(768, 768), 384)


def test_energy_is_the_least_rank():
    values = torch.tensor([3.0, 2.0, 1.0, 0.0])
    assert [rank_for_energy(values, share) for share in (0.1, 9 / 14, 0.65, 13 / 14, 0.99)] == [1, 1, 2, 2, 3]
    assert rank_for_energy(torch.zeros(4), 0.9) == 1
    assert Energy(energy=0.5).ranks([place(4, 4)], [values]) == (1,)


def test_a_budget_keeps_the_most_energy_that_it_can():
    shapes = [(6, 6), (8, 4), (4, 4)]
    draw = torch.Generator().manual_seed(0)
    spectra = [torch.rand(min(shape), generator=draw).sort(descending=True).values for shape in shapes]
    shares = [(values.square() / values.square().sum()).tolist() for values in spectra]
    for total in (36, 48, 60):
        ranks = spread_budget(shapes, spectra, total)
        sizes = [min(sum(shape) * rank, shape[0] * shape[1]) for shape, rank in zip(shapes, ranks)]
        assert sum(sizes) <= total
        best = max(
            sum(sum(share[:rank]) for share, rank in zip(shares, tried))
            for tried in product(*(range(1, (a * b - 1) // (a + b) + 1) for a, b in shapes))
            if sum(sum(shape) * rank for shape, rank in zip(shapes, tried)) <= total
        )
        kept = sum(sum(share[:rank]) for share, rank in zip(shares, ranks))
        # Greedy is the best but for the last outer product, which may not fit.
        assert kept >= best - max(share[1] for share in shares)


def test_a_budget_goes_where_the_spectrum_is_flat():
    steep, flat = torch.tensor([1.0] + [1e-3] * 15), torch.ones(16)
    first, second = spread_budget([(16, 16), (16, 16)], [steep, flat], 256)
    assert first == 1 and second == 7
    # What remains after every rank that saves makes a matrix whole.
    assert spread_budget([(16, 16), (16, 16)], [flat, flat], 500)[0] == 16


def test_budgets_that_cannot_be():
    places = [place(16, 16), place(16, 16)]
    assert "too few" in Budget(parameters=63).refuses(places)
    assert "no less than the 512" in Budget(parameters=512).refuses(places)
    assert Budget(parameters=64).refuses(places) is None
    assert Budget(parameters=0.5).total(places) == 256 and Budget(parameters=300).total(places) == 300


def test_a_rank_above_the_width_is_named():
    places = [place(64, 64), place(64, 32, "encoder.layer.3.output.dense")]
    assert Number(number=32).refuses(places) is None
    message = Number(number=40).refuses(places)
    assert "rank of 40 is above the full rank of encoder.layer.3.output.dense, which is 64 x 32" in message


def test_recipe_forms():
    read = TypeAdapter(Rank)
    forms = {64: Number(number=64), "ratio": None, "energy": None}
    assert read.validate_python(64) == forms[64] == read.validate_python({"number": 64})
    assert read.validate_python({"ratio": 0.5}) == Ratio(ratio=0.5)
    assert read.validate_python({"energy": 0.9}) == Energy(energy=0.9)
    assert read.validate_python({"budget": 0.5}) == Budget(parameters=0.5)
    for value in (Number(number=64), Ratio(ratio=0.5), Budget(parameters=1000)):
        assert read.validate_python(read.dump_python(value)) == value
    for wrong in (0, -1, True, 1.5, "ratio", {"ratio": 1}, {"energy": 0}, {"budget": 0}):
        with pytest.raises(ValidationError):
            read.validate_python(wrong)
    assert read.json_schema()["anyOf"][0]["type"] == "integer"
