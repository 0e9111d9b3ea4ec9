"""Simulation of a training step on tensors without memory: live blocks, counted operation by operation."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from compress.core.families.family import base_model
from compress.core.low_bit.linear import StoredLinear, product
from finetune.batching.example_inputs import example_inputs
from finetune.training.scopes import recompute

__all__ = ["Moment", "StepShape", "simulated_peak"]


@dataclass(frozen=True)
class StepShape:
    """Settings that decide the memory of a step, besides the model.

    Attributes:
        batch_size, length: of the batch, in rows and tokens.
        device: where it would run; nothing is allocated there.
        bf16: forward under autocast.
        recomputed: gradient checkpointing.
        accumulated: gradients of earlier batches exist when the step begins.
        backward: False for a forward pass alone, in evaluation mode and without gradients.
    """

    batch_size: int
    length: int
    device: torch.device
    bf16: bool = False
    recomputed: bool = False
    accumulated: bool = False
    backward: bool = True


@dataclass(frozen=True)
class Moment:
    """Bytes at the moment of a step at which most are in use, besides the weights and the optimiser's states.

    Attributes:
        activations: made in the forward pass and kept for backward.
        gradients: of parameters, as far as they exist at that moment.
        temporary: whatever else lives then: products of backward, converted weights, logits.
    """

    activations: int
    gradients: int
    temporary: int

    @property
    def bytes(self) -> int:
        return self.activations + self.gradients + self.temporary


def simulated_peak(model: nn.Module, names: frozenset[str], shape: StepShape) -> Moment | None:
    """Peak of a simulated training step; None where the forward pass depends on values.

    Where only the head's does (it searches the end of the text), the base model alone is run.

    Args:
        model: on any device, the meta device too; left as it is.
        names: the parameters that are trained.
        shape: batch, device and precision of the step.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    for part in (model, base_model(model)):
        with FakeTensorMode(allow_non_fake_inputs=True):
            copy = _without_memory(model, names, shape)
            try:
                return _step(copy if part is model else base_model(copy), copy, shape)
            except (RuntimeError, NotImplementedError):
                gc.collect()
    return None


class _Watch(TorchDispatchMode):
    """Log of allocations: when each block of memory is allocated and when it is freed.

    Args:
        known: tensors whose memory is counted elsewhere.
    """

    def __init__(self, known: Iterable[Tensor]):
        super().__init__()
        self.sizes: list[int] = []
        self.log: list[int] = []
        """The number of a block, from 1, when it is allocated; its negative when it is freed."""
        self.alive: dict[int, int] = {}
        self.known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.see(leaf)
        return result

    def see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.known or key in self.alive:
            return
        self.sizes.append(storage.nbytes())
        self.alive[key] = len(self.sizes)
        self.log.append(len(self.sizes))
        weakref.finalize(storage, self.gone, key)

    def gone(self, key: int) -> None:
        self.log.append(-self.alive.pop(key))

    def block(self, tensor: Tensor) -> int:
        return self.alive.get(tensor.untyped_storage()._cdata, 0)

    def peak(self, forward_end: int, gradients: frozenset[int]) -> Moment:
        """The moment at which most is in use, by part."""
        kept = frozenset(_alive(self.log[:forward_end]))
        now = most = when = 0
        for index, event in enumerate(self.log, 1):
            now += self.sizes[event - 1] if event > 0 else -self.sizes[-event - 1]
            if now > most:
                most, when = now, index
        there = _alive(self.log[:when])
        of_gradients = sum(self.sizes[block - 1] for block in there & gradients)
        of_activations = sum(self.sizes[block - 1] for block in (there & kept) - gradients)
        return Moment(of_activations, of_gradients, most - of_gradients - of_activations)


def _alive(log: list[int]) -> set[int]:
    there: set[int] = set()
    for event in log:
        (there.add if event > 0 else there.remove)(abs(event))
    return there


def _step(runs: nn.Module, model: nn.Module, shape: StepShape) -> Moment:
    """Forward and backward of `runs`, a part of `model` or all of it."""
    inputs = _inputs(model, shape, own_decoder=runs is not model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if shape.accumulated:
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter)
    known = [*model.parameters(), *model.buffers(), *inputs.values(), *(p.grad for p in trained if p.grad is not None)]
    kind = shape.device.type
    with _Watch(known) as watch, torch.set_grad_enabled(shape.backward):
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=shape.bf16):
            output = runs(**inputs)
        loss = _loss(output, shape)
        forward_end = len(watch.log)
        if loss.requires_grad:
            loss.backward()
    gradients = frozenset(watch.block(p.grad) for p in trained if p.grad is not None)
    return watch.peak(forward_end, gradients)


def _loss(output: Any, shape: StepShape) -> Tensor:
    logits = getattr(output, "logits", None)
    if logits is None:
        return output[0].float().sum()
    labels = torch.zeros(shape.batch_size, dtype=torch.long, device=shape.device)
    return nn.functional.cross_entropy(logits.float(), labels)


def _inputs(model: Any, shape: StepShape, *, own_decoder: bool) -> dict[str, Tensor]:
    inputs = example_inputs(model, batch_size=shape.batch_size, length=shape.length, device=shape.device)
    if "input_ids" in inputs:
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if own_decoder and model.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = inputs["input_ids"].clone()
    return inputs


def _without_memory(model: nn.Module, names: frozenset[str], shape: StepShape) -> nn.Module:
    """A copy whose tensors have a shape, a type and a device, and no values."""
    memo = {id(tensor): _fake(tensor, shape.device) for tensor in (*model.parameters(), *model.buffers())}
    copy: Any = deepcopy(model, memo).train(shape.backward)
    for name, parameter in copy.named_parameters():
        parameter.requires_grad_(name in names)
    for module in copy.modules():
        if isinstance(module, StoredLinear):
            module.dense = partial(_dense, module)  # type: ignore[method-assign]
            module.answer = partial(product, dense=module.dense)  # type: ignore[method-assign]
    if shape.recomputed and getattr(copy, "supports_gradient_checkpointing", False):
        recompute(copy, "enable", {"use_reentrant": False})
    return copy


def _fake(tensor: Tensor, device: torch.device) -> Tensor:
    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
    return nn.Parameter(empty, tensor.is_floating_point()) if isinstance(tensor, nn.Parameter) else empty


def _dense(linear: StoredLinear, dtype: torch.dtype) -> Tensor:
    return torch.empty((linear.out_features, linear.in_features), dtype=dtype, device=linear.weight.device)
