"""Stored models and their answers."""

from __future__ import annotations

import torch

from compress.core.model.bundle import Bundle
from compress.quantize.store_linears import StoreLinears
from tests.tiny import tiny_bundle, tiny_inputs

__all__ = ["STORAGES", "WIDE", "hidden_states", "stored_bundle"]

STORAGES = ("bf16", "int8", "nf4", "fp4")

WIDE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    **dict.fromkeys(("hidden_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "n_inner"), 128),
    **dict.fromkeys(("pooler_hidden_size", "pooler_output_size"), 64),
    "d_kv": 16,
}
"""Widths that bitsandbytes' own kernels read rightly on every CPU: with AVX-512 it misreads, in 0.50, 4-bit matrices
with rows of a multiple of 16 and not of 64."""


def stored_bundle(name: str, storage: str, **settings) -> Bundle:
    return tiny_bundle(name, **settings).changed_by(StoreLinears(storage=storage))


def hidden_states(bundle: Bundle) -> tuple[torch.Tensor, ...]:
    """What enters each layer, with gradients kept, after a backward pass in training mode."""
    model = bundle.model.train()
    seen: list[torch.Tensor] = []

    def keep(module, inputs, settings):
        hidden = inputs[0] if inputs else settings["hidden_states"]
        if hidden.requires_grad:
            hidden.retain_grad()
        seen.append(hidden)

    handles = [block.register_forward_pre_hook(keep, with_kwargs=True) for block in bundle.family.module_list(model)]
    model(**tiny_inputs(bundle)).logits.square().sum().backward()
    for handle in handles:
        handle.remove()
    return tuple(seen)
