"""A checkpoint holds what is trained, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from compress.core.errors import StageFailed
from finetune.method import only_trained
from finetune.parameters.names import bias_names
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training.checkpoints import claim, last_whole, load_weights, save_weights, seal, trained_names
from finetune.training.fit import make_fit
from tests.finetune.fits import CPU, EVERY_STEP, ONE_EPOCH, Interrupted, StopAfter, same_bits
from tests.tiny import tiny_bundle


@pytest.mark.parametrize("storage", [None, "nf4", "int8"])
def test_an_interrupted_training_of_few_parameters_goes_on(
    task: TextClassification, splits: Splits, tmp_path: Path, storage: str | None
) -> None:
    from compress.quantize.store_linears import StoreLinears

    def fitted(steps: int, directory: Path | None) -> torch.nn.Module:
        bundle = tiny_bundle("bert", num_hidden_layers=2)
        bundle = bundle.changed_by(StoreLinears(storage=storage)) if storage else bundle
        fit = make_fit(task, splits, seed=0, device=CPU, directory=directory, checkpointing=EVERY_STEP)
        with only_trained(bundle.model, bias_names(bundle)):
            fit(bundle, task.objective, ONE_EPOCH, hooks=[StopAfter(steps)])
        return bundle.model

    unbroken = fitted(10**9, None)
    with pytest.raises(Interrupted):
        fitted(6, tmp_path)
    written = load_file(next(tmp_path.glob("fit/checkpoint-*/model.safetensors")))
    assert {name for name in written if name.endswith("weight")} == set()
    assert any(name.endswith("query.bias") for name in written)
    assert same_bits(unbroken, fitted(10**9, tmp_path))


def test_what_is_frozen_stays_as_the_model_has_it(tmp_path: Path) -> None:
    one, other = tiny_bundle("bert", seed=0), tiny_bundle("bert", seed=1)
    names = bias_names(one)
    save_weights(one.model, tmp_path, names)
    frozen = other.model.classifier.weight.clone()
    load_weights(other.model, tmp_path, names)
    assert torch.equal(one.model.classifier.bias, other.model.classifier.bias)
    assert torch.equal(frozen, other.model.classifier.weight)


def test_a_checkpoint_of_other_parameters_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle("bert")
    save_weights(bundle.model, tmp_path, bias_names(bundle))
    with pytest.raises(StageFailed, match="another model"):
        load_weights(bundle.model, tmp_path, trained_names(bundle.model))


@pytest.mark.parametrize("free", [0, 10**9])
def test_a_disk_that_takes_no_state_of_an_optimizer_is_an_error_of_the_disk(
    task: TextClassification, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    from types import SimpleNamespace

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    fit = make_fit(task, splits, seed=0, device=CPU, directory=tmp_path, checkpointing=EVERY_STEP)
    with pytest.raises(OSError, match="No space left" if not free else "Input/output"):
        fit(tiny_bundle("bert", num_hidden_layers=2), task.objective, ONE_EPOCH)


def checkpoint(directory: Path) -> Path:
    """Of a fit with an empty plan: weights, a state, and their marks."""
    place = directory / "checkpoint-3"
    place.mkdir(parents=True)
    (place / "model.safetensors").write_bytes(bytes(100))
    (place / "trainer_state.json").write_text("{}")
    (directory / "plan.json").write_text("{}")
    seal(place)
    return place


@pytest.mark.parametrize("name", ["model.safetensors", "trainer_state.json", "files", "plan.json", None])
def test_a_damaged_checkpoint_is_not_taken_up(tmp_path: Path, name: str | None) -> None:
    place = checkpoint(tmp_path)
    for file in [path for path in (*place.iterdir(), tmp_path / "plan.json") if path.name == name]:
        file.write_bytes(b"\x80" + file.read_bytes()[1:])
    claim(tmp_path, {})
    assert last_whole(tmp_path) == (None if name else place)


def test_a_damaged_end_of_a_fit_is_trained_again(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    def fitted() -> torch.nn.Module:
        bundle = tiny_bundle("bert", num_hidden_layers=2)
        make_fit(task, splits, seed=0, device=CPU, directory=tmp_path, checkpointing=EVERY_STEP)(
            bundle, task.objective, ONE_EPOCH
        )
        return bundle.model

    first = fitted()
    end = tmp_path / "fit" / "finished" / "model.safetensors"
    content = bytearray(end.read_bytes())
    content[-1] ^= 1
    end.write_bytes(content)
    assert same_bits(first, fitted())
