"""Insertion of a learned mix of layers after the last block."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, ClassVar

from torch import nn

from compress.core.errors import Refusal
from compress.core.families.family import base_model
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.values import Count
from finetune.inserted.insertion import Insertion
from finetune.inserted.mix.layer_mix import LayerMix

__all__ = ["InsertLayerMix", "mix_of"]

NAME = "mix"


class InsertLayerMix(Insertion):
    """Scalar mix of all layers' outputs as the input of what follows the blocks (a last norm, a pooler, the head)."""

    cannot_merge: ClassVar[str | None] = (
        "what is behind the last block reads a sum over all layers, which no weight of the base can make"
    )

    layers: Count

    def apply(self, bundle: Bundle) -> Bundle:
        if self.inserted(bundle):
            raise Refusal("the model mixes its layers already", advice="start from the stage before it")
        family, model = bundle.family, bundle.model
        blocks = list(family.module_list(model))
        above = family.blocks.rpartition(".")[0]
        runs: nn.Module = attrgetter(above)(base_model(model)) if above else base_model(model)
        mix = LayerMix(self.layers, bundle.device)
        blocks[-1].add_module(NAME, mix)
        runs.register_forward_pre_hook(mix, with_kwargs=True)
        for block in blocks:
            block.register_forward_hook(mix, with_kwargs=True)
        bundle.states = bundle.states | {"adapted"}
        return bundle

    def inserted(self, bundle: Bundle) -> frozenset[str]:
        return frozenset(
            f"{path}.{name}"
            for path, module in bundle.model.named_modules()
            if isinstance(module, LayerMix)
            for name, _ in module.named_parameters()
        )

    def refuses(self, sketch: Sketch) -> str | None:
        if sketch.family.decoder:
            return f"the head of a {sketch.family.model_type} model reads its decoder, not the layers of its encoder"
        return None


def mix_of(model: nn.Module) -> Any:
    """The model's mix, or None."""
    return next((module for module in model.modules() if isinstance(module, LayerMix)), None)
