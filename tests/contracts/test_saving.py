"""Every family: what is saved loads again to the same bits, and is stock where stock can say it."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

from compress.core.checkpoint.save import load, save
from compress.core.families.family import family_of
from compress.core.model.bundle import Bundle
from compress.core.surgery.heads_and_neurons import head_counts, keep_heads, keep_neurons, neuron_counts
from compress.core.surgery.layers import keep_layers
from compress.core.surgery.width import keep_width
from tests.contracts.cuts import SOME_WIDTH, some_heads, some_layers, some_neurons
from tests.contracts.test_surgery import supporting
from tests.tiny import FAMILIES, IMAGE_FAMILIES, few, tiny_bundle, tiny_logits

CUTS = {
    "heads": (keep_heads, some_heads),
    "neurons": (keep_neurons, some_neurons),
    "layers": (keep_layers, lambda bundle: some_layers(bundle.family)),
    "width": (keep_width, lambda bundle: SOME_WIDTH),
}


def cut(bundle: Bundle, part: str) -> None:
    keep, some = CUTS[part]
    keep(bundle.model, bundle.family, some(bundle))


def auto(name: str):
    return getattr(transformers, f"AutoModelFor{'Image' if name in IMAGE_FAMILIES else 'Sequence'}Classification")


def assert_opens_as_stock(directory, name, expected):
    config = json.loads((directory / "config.json").read_text())
    assert config["model_type"] == name
    assert "auto_map" not in config and "trimformer" not in config
    assert not (directory / "changed.py").exists()
    model, report = auto(name).from_pretrained(directory, output_loading_info=True)
    assert not any(report.values())
    loaded = load(directory)
    assert type(loaded.model) is type(model)
    assert torch.equal(tiny_logits(loaded), expected)


@pytest.mark.parametrize("name", few())
def test_one_cut_after_another_loads_again_to_the_bit(name, tmp_path):
    bundle = tiny_bundle(name)
    for number, part in enumerate(part for part in CUTS if part not in bundle.family.refusals):
        cut(bundle, part)
        expected, before = tiny_logits(bundle), bundle.sketch()
        bundle = load(save(bundle, tmp_path / str(number)))
        assert torch.equal(tiny_logits(bundle), expected)
        assert bundle.sketch() == before
        assert bundle.family.model_type == name
    assert sorted(path.suffix for path in (tmp_path / "0").iterdir() if path.suffix in {".bin", ".pt", ".pkl"}) == []


@pytest.mark.parametrize("name", FAMILIES)
def test_untouched_and_fewer_layers_are_stock(name, tmp_path):
    bundle = tiny_bundle(name)
    if "layers" not in bundle.family.refusals:
        cut(bundle, "layers")
    assert_opens_as_stock(save(bundle, tmp_path), name, tiny_logits(bundle))


@pytest.mark.parametrize("name", few([name for name in supporting("neurons") if "neurons" in family_of(name).config]))
def test_the_same_number_of_neurons_everywhere_is_stock(name, tmp_path):
    bundle = tiny_bundle(name)
    kept = tuple(tuple(range(number % 4, 48, 4)) for number, _ in enumerate(neuron_counts(bundle.model, bundle.family)))
    keep_neurons(bundle.model, bundle.family, kept)
    assert_opens_as_stock(save(bundle, tmp_path), name, tiny_logits(bundle))


@pytest.mark.parametrize("name", sorted(IMAGE_FAMILIES))
def test_the_same_number_of_heads_is_stock_where_the_configuration_takes_a_heads_size(name, tmp_path):
    bundle = tiny_bundle(name)
    keep_heads(bundle.model, bundle.family, ((0, 1, 3), (0, 1, 2), (1, 2, 3), (0, 2, 3)))
    assert_opens_as_stock(save(bundle, tmp_path), name, tiny_logits(bundle))
    assert head_counts(load(tmp_path).model, bundle.family) == (3, 3, 3, 3)


def test_as_many_heads_everywhere_is_stock_also_with_a_decoder(tmp_path):
    bundle = tiny_bundle("t5")
    kept = {"encoder": (0, 1, 3), "decoder": (1, 2, 3), "cross-attention": (0, 2, 3)}
    keep_heads(bundle.model, bundle.family, tuple(kept[stack] for stack in bundle.sketch().head_stacks))
    assert_opens_as_stock(save(bundle, tmp_path), "t5", tiny_logits(bundle))
    assert head_counts(load(tmp_path).model, bundle.family) == (3,) * 8


@pytest.mark.parametrize("name", supporting("heads"))
def test_other_shapes_are_not_opened_unasked(name, tmp_path):
    bundle = tiny_bundle(name)
    cut(bundle, "heads")
    save(bundle, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == f"trimformer_{name}"
    with pytest.raises(ValueError, match="trust_remote_code"):
        auto(name).from_pretrained(tmp_path, trust_remote_code=False)


def test_a_changed_model_that_became_uniform_is_stock_again(tmp_path):
    bundle = tiny_bundle("roberta")
    cut(bundle, "neurons")
    bundle = load(save(bundle, tmp_path / "uneven"))
    assert bundle.config.model_type == "trimformer_roberta"
    assert torch.equal(tiny_logits(bundle.copy()), tiny_logits(bundle))
    fewest = min(neuron_counts(bundle.model, bundle.family))
    keep_neurons(bundle.model, bundle.family, tuple(tuple(range(fewest)) for _ in range(4)))
    assert_opens_as_stock(save(bundle, tmp_path / "even"), "roberta", tiny_logits(bundle))
    # Written over the old directory, nothing of the old road is left behind.
    assert_opens_as_stock(save(bundle, tmp_path / "uneven"), "roberta", tiny_logits(bundle))
