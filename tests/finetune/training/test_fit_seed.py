"""A fit may be given a seed of its own."""

import torch

from finetune.training.fit import make_fit
from tests.finetune.fits import CPU, ONE_EPOCH, same_bits
from tests.tiny import tiny_bundle


def trained(task, splits, *, run: int, own: int | None = None) -> torch.nn.Module:
    bundle = tiny_bundle("bert", num_hidden_layers=2)
    make_fit(task, splits, seed=run, device=CPU)(bundle, task.objective, ONE_EPOCH, seed=own)
    return bundle.model


def test_it_takes_the_place_of_the_runs(task, splits):
    assert same_bits(trained(task, splits, run=0, own=5), trained(task, splits, run=5))


def test_another_seed_trains_another_model(task, splits):
    assert not same_bits(trained(task, splits, run=0, own=5), trained(task, splits, run=0))
