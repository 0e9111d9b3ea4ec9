"""Whatever trains a masked model keeps its zeros: weight decay, accumulation, resume, few parameters, adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from compress.core.checkpoint.save import load, load_source, save
from compress.core.errors import Refusal
from compress.core.fit.hooks import Hook
from compress.core.model.bundle import Bundle
from compress.core.model.masks import apply_masks, masked_parameters
from compress.prune.weights.mask import Mask
from compress.prune.weights.selection import keep_highest
from finetune.context import make_context
from finetune.delta.opening import load_delta
from finetune.delta.saving import save_delta
from finetune.merge.stage import Merge
from finetune.stage import Finetune
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training.fit import make_fit
from tests.finetune.fits import CPU, EVERY_STEP, ONE_EPOCH, Interrupted, StopAfter, same_bits
from tests.tiny import tiny_bundle


def masked(sparsity: float = 0.6) -> Bundle:
    bundle = tiny_bundle("bert", num_hidden_layers=2)
    scores = {
        name: p.detach().abs() for name, p in bundle.model.named_parameters() if ".layer." in name and p.dim() > 1
    }
    return bundle.changed_by(Mask.of(keep_highest(scores, sparsity, allocation="global")))


def zeros_hold(bundle: Bundle) -> bool:
    found = list(masked_parameters(bundle.model, bundle.masks))
    return bool(found) and all(not weight[~bundle.masks[name]].any() for name, weight in found)


class Moments(Hook):
    """The optimiser's state, seen through the gradients that reach it, is nothing where a mask cuts."""

    def __init__(self, bundle: Bundle):
        self.bundle, self.largest, self.steps = bundle, 0.0, 0

    def after_step(self, model: nn.Module, progress: float) -> None:
        self.steps += 1
        for name, parameter in masked_parameters(model, self.bundle.masks):
            cut = ~self.bundle.masks[name]
            self.largest = max(self.largest, float(parameter.detach()[cut].abs().max()))
            if parameter.grad is not None:
                self.largest = max(self.largest, float(parameter.grad[cut].abs().max()))


@pytest.mark.parametrize("settings", [{"weight_decay": 0.5}, {"accumulation": 3}, {"clip": 1e-3, "learning_rate": 0.1}])
def test_masks_hold_in_every_step(settings: dict[str, Any], task: TextClassification, splits: Splits) -> None:
    bundle = masked()
    masks = {name: mask.clone() for name, mask in bundle.masks.items()}
    watch = Moments(bundle)
    make_fit(task, splits, seed=0, device=CPU)(
        bundle, task.objective, ONE_EPOCH.model_copy(update=settings), hooks=[watch]
    )
    assert watch.largest == 0 and watch.steps > 3 and zeros_hold(bundle)
    assert all(torch.equal(bundle.masks[name], mask) for name, mask in masks.items())


def test_the_optimisers_state_is_nothing_under_the_mask(task: TextClassification, splits: Splits, monkeypatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    step = torch.optim.AdamW.step

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = step(self, *args, **kwargs)
        seen[:] = [(p, state["exp_avg"]) for p, state in self.state.items()]
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    bundle = masked()
    make_fit(task, splits, seed=0, device=CPU)(bundle, task.objective, ONE_EPOCH)
    moments = {id(parameter): moment for parameter, moment in seen}
    for name, parameter in masked_parameters(bundle.model, bundle.masks):
        assert not moments[id(parameter)][~bundle.masks[name]].any() and moments[id(parameter)].any()


class Narrowing(Hook):
    """Cuts one more weight of the first mask before each step, as a gradual pruning does."""

    def __init__(self, bundle: Bundle):
        self.bundle = bundle

    def before_step(self, model: nn.Module, progress: float) -> None:
        name = sorted(self.bundle.masks)[0]
        mask = self.bundle.masks[name].clone()
        mask.view(-1)[mask.view(-1).nonzero()[0]] = False
        self.bundle.masks = {**self.bundle.masks, name: mask}


def test_masks_that_change_hold_at_once_and_resume(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    def fit(bundle: Bundle, directory: Path, hooks: list[Hook]) -> None:
        make_fit(task, splits, seed=0, device=CPU, directory=directory, checkpointing=EVERY_STEP)(
            bundle, task.objective, ONE_EPOCH, hooks=hooks
        )

    whole = masked()
    first = {name: int(mask.sum()) for name, mask in whole.masks.items()}
    fit(whole, tmp_path / "whole", [Narrowing(whole), StopAfter(1000)])
    name = sorted(first)[0]
    assert int(whole.masks[name].sum()) == first[name] - 12 and zeros_hold(whole)
    broken = masked()
    with pytest.raises(Interrupted):
        fit(broken, tmp_path / "broken", [Narrowing(broken), StopAfter(5)])
    again = masked()
    fit(again, tmp_path / "broken", [Narrowing(again), StopAfter(1000)])
    assert same_bits(whole.model, again.model)
    assert all(torch.equal(mask, again.masks[name]) for name, mask in whole.masks.items())


@pytest.mark.parametrize("method", ["full", "bitfit", "lora", {"houlsby": {"width": 8}}, "ia3", "head"])
def test_every_method_keeps_the_zeros_and_its_delta_too(
    method: Any, task: TextClassification, splits: Splits, tmp_path: Path
) -> None:
    bundle = masked()
    base = save(bundle, tmp_path / "base")
    ctx = make_context(task, splits, seed=0, device=CPU, scratch=None)
    tuned = Finetune.model_validate({"method": method, "train": {"max_steps": 3, "precision": "fp32"}}).run(bundle, ctx)
    assert "masked" in tuned.states and zeros_hold(tuned)
    if method == "full":
        opened = load(save(tuned, tmp_path / "tuned"))
    else:
        opened = load_delta(base, save_delta(tuned, tmp_path / "delta", base=base))
    assert zeros_hold(opened) and opened.masks.keys() == tuned.masks.keys() and "masked" in opened.states
    assert same_bits(opened.model, tuned.model)


def test_a_masked_source_keeps_its_masks(tmp_path: Path) -> None:
    directory = save(masked(), tmp_path)
    for meta in (False, True):
        source = load_source(directory, head="sequence_classification", labels=("a", "b"), meta=meta)
        assert source.masks.keys() == masked().masks.keys() and "masked" in source.states


def test_zeros_of_a_wrapped_weight_are_found(task: TextClassification) -> None:
    bundle = masked()
    linear = bundle.model.bert.encoder.layer[0].attention.self.query
    around = nn.Module()
    around.base_layer = linear
    bundle.model.bert.encoder.layer[0].attention.self.query = around
    linear.weight.data.fill_(1)
    apply_masks(bundle.model, bundle.masks)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert torch.equal(linear.weight.detach() != 0, bundle.masks[name])


@pytest.mark.parametrize(("method", "merges"), [("lora", False), ("ia3", True), ("bitfit", True)])
def test_a_merge_that_would_fill_the_zeros_is_refused(
    method: str, merges: bool, task: TextClassification, splits: Splits
) -> None:
    ctx = make_context(task, splits, seed=0, device=CPU, scratch=None)
    train = {"max_steps": 2, "precision": "fp32"}
    tuned = Finetune.model_validate({"method": method, "train": train}).run(masked(), ctx)
    if merges:
        merged = Merge().run(tuned, ctx)
        assert zeros_hold(merged) and "masked" in merged.states
    else:
        with pytest.raises(Refusal, match="fills the zeros"):
            Merge().run(tuned, ctx)
