"""A training step with our adapters costs at most a twentieth more than with adapters written into the block."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compress.core.model.bundle import Bundle
from finetune.inserted.adapters.bottleneck import Bottleneck
from finetune.method import only_trained
from finetune.methods.houlsby import Houlsby
from tests.tiny import tiny_bundle

pytestmark = pytest.mark.benchmark
STEPS, ROUNDS, ROWS, LENGTH = 6, 9, 32, 32
# The shape of MiniLM-L6.
SIZES = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}


class ByHand(nn.Module):
    """BERT's output layer as anyone would write it with an adapter: linear, adapter, dropout, sum, norm."""

    def __init__(self, output: Any, adapter: Bottleneck):
        super().__init__()
        self.dense, self.LayerNorm, self.dropout = output.dense.base_layer, output.LayerNorm, output.dropout
        self.down, self.up = adapter.down, adapter.up

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        hidden_states = self.dense(hidden_states)
        hidden_states = hidden_states + self.up(F.gelu(self.down(hidden_states)))
        return self.LayerNorm(self.dropout(hidden_states) + input_tensor)


def ours() -> tuple[Bundle, frozenset[str]]:
    bundle = tiny_bundle("bert", vocab_size=30522, **SIZES)
    torch.manual_seed(0)
    bundle = bundle.changed_by(Houlsby().change(bundle.sketch()))
    return bundle, Houlsby().trainable(bundle)


def by_hand(bundle: Bundle, names: frozenset[str]) -> tuple[nn.Module, frozenset[str]]:
    """The same model with the adapters inside its blocks, and what is trained of it."""
    model: Any = bundle.copy().model
    trained = {id(model.get_parameter(name)) for name in names}
    for block in model.bert.encoder.layer:
        block.attention.output = ByHand(block.attention.output, block.attention.output.dense.adapter)
        block.output = ByHand(block.output, block.output.dense.adapter)
    return model, frozenset(name for name, parameter in model.named_parameters() if id(parameter) in trained)


def seconds(model: nn.Module, names: frozenset[str]) -> np.ndarray:
    """CPU seconds of each step, all threads together."""
    torch.manual_seed(0)
    inputs, labels = torch.randint(5, 1000, (ROWS, LENGTH)), torch.arange(ROWS) % 2
    mask = torch.ones_like(inputs)
    found = []
    model.train()
    with only_trained(model, names):
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
        for _ in range(STEPS):
            started = time.process_time()
            F.cross_entropy(model(input_ids=inputs, attention_mask=mask).logits, labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            found.append(time.process_time() - started)
    return np.array(found)


def test_a_step_costs_what_adapters_by_hand_cost() -> None:
    bundle, names = ours()
    model, own_names = by_hand(bundle, names)
    assert len(own_names) == len(names)
    inputs = torch.randint(5, 1000, (4, LENGTH))
    assert torch.equal(bundle.model.eval()(input_ids=inputs).logits, model.eval()(input_ids=inputs).logits)
    mine, plain = [], []
    for turn in range(ROUNDS):
        runs = [
            lambda: mine.append(seconds(bundle.model, names)),
            lambda: plain.append(seconds(model, own_names)),
        ]
        for run in runs if turn % 2 else reversed(runs):
            run()
    # Both see the same batches, so each step has its fellow; the fastest of the rounds is the one that the machine
    # disturbed least. The first step warms up.
    ratio = np.min(mine, axis=0)[1:].sum() / np.min(plain, axis=0)[1:].sum()
    print(f"\na step with our adapters: {np.min(mine, 0)[1:].mean():.4f} s of CPU, {ratio:.3f} of one by hand")
    assert ratio <= 1.05
