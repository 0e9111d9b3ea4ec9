"""Predicted memory of a training by part, and the largest batch that a memory budget allows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from compress.core.families.family import Family, base_model
from compress.core.fit.plan import TrainPlan
from compress.core.model.low_bit import stored_bytes
from finetune.memory_prediction.formula import CountedMoment, formula_peak
from finetune.memory_prediction.optimizer import optimizer_bytes
from finetune.memory_prediction.simulation import Moment, StepShape, simulated_peak
from finetune.training.arguments import uses_bf16

__all__ = ["Memory", "TrainingMemory"]

RETAINED = 0.3
"""Fragmentation: what glibc's allocator retains on a CPU, as a share of a step's allocated and freed bytes."""
KERNELS = 60_000_000
"""Bytes that oneDNN keeps on a CPU: kernels compiled for each shape, and scratch."""
WORKSPACE, HOPPER_WORKSPACE = 8_519_680, 33_554_432
"""cuBLAS's, before and from compute capability 9.0."""
PROCESS = {"cpu": 700_000_000, "cuda": 500_000_000}
"""Python with torch, transformers, datasets and a task's rows; on a GPU the context, which no allocator counts."""
MOST_ROWS = 65_536
CACHE_ROWS = 64


@dataclass(frozen=True)
class Memory:
    """Memory at the peak of a training by part, in bytes.

    Attributes:
        weights: of the blocks and the head, as they are stored, with scales and tables.
        embeddings: the input's embedding matrices, which no storage quantizes.
        copies: further models: a teacher, the best weights of an early stop, those of the rates that are tried.
        gradients: of trained parameters, as far as they exist at the peak.
        optimizer: its states.
        activations: kept for backward; or the cached features of a frozen base for all rows.
        temporary: converted and dequantized weights, products of backward, logits, and the libraries' workspace.
        allocator: freed blocks that a CPU's allocator retains.
        process: in use before the training.
    """

    weights: int = 0
    embeddings: int = 0
    copies: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    temporary: int = 0
    allocator: int = 0
    process: int = 0

    def parts(self) -> dict[str, int]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def bytes(self) -> int:
        return sum(self.parts().values())

    @property
    def training(self) -> int:
        """All but the process: what `max_memory_allocated` shows on a GPU."""
        return self.bytes - self.process


@dataclass(frozen=True, eq=False)
class TrainingMemory:
    """Memory of one training at any batch size; a step is simulated once for each size that is asked for.

    Args:
        model: on any device, the meta device too; left as it is.
        family: its record.
        names: the parameters that are trained.
        plan: a complete plan.
        length: of the longest row, in tokens.
        device: where it trains.
        copies: bytes of further models beside it.
        cached: bytes of the cached features of all rows, where a frozen base runs once and only the layers after it are
            trained; None where the whole model runs in every step.
    """

    model: nn.Module
    family: Family
    names: frozenset[str]
    plan: TrainPlan
    length: int
    device: torch.device
    copies: int = 0
    cached: int | None = None
    _moments: dict[int, Moment] = field(default_factory=dict, init=False, repr=False)

    def at(self, batch_size: int | None = None) -> Memory:
        """The memory with batches of `batch_size` rows, of the plan's unless given."""
        moment = self._moment(CACHE_ROWS if self.cached is not None else batch_size or self.plan.batch_size or 1)
        whole = sum(_bytes(parameter) for parameter in self._trained)
        if self._accumulates or self.cached is not None:
            moment = replace(moment, gradients=whole)
        elif moment.bytes < whole:
            moment = Moment(0, whole, 0)  # the peak is the optimiser's step, when nothing else is left
        on_cpu = self.device.type == "cpu"
        return replace(
            self._still,
            gradients=moment.gradients,
            activations=moment.activations + (self.cached or 0),
            temporary=moment.temporary + (KERNELS if on_cpu else _workspace(self.device)),
            allocator=int(RETAINED * moment.bytes) if on_cpu else 0,
        )

    def accumulating(self) -> TrainingMemory:
        """The same training where each step sums the gradients of several batches."""
        plan = self.plan.model_copy(update={"accumulation": max(2, self.plan.accumulation or 1)})
        return self if self._accumulates else replace(self, plan=plan)

    @property
    def by_formula(self) -> bool:
        """Whether the model's forward pass needs values, so that a formula counts in place of a simulation."""
        return any(isinstance(moment, CountedMoment) for moment in self._moments.values())

    @property
    def trained_parameters(self) -> int:
        """A shared tensor counts once."""
        return sum(parameter.numel() for parameter in self._trained)

    def largest_batch(self, budget: int) -> int | None:
        """Rows of the largest batch within `budget` bytes.

        0 where no row fits, None where the batch makes no difference. Memory is linear in the batch size: two simulated
        sizes give the line; a third one checks the result.
        """
        if self.cached is not None:
            return None if self.at().bytes <= budget else 0
        size = self.plan.batch_size or 1
        found = self._meets(size, 2 * size, budget)
        if found and self.at(found).bytes > budget:
            found = self._meets(1, found, budget)
        return found

    def _meets(self, one: int, other: int, budget: int) -> int:
        """The batch at which the line through two sizes reaches the budget."""
        first, second = self.at(one).bytes, self.at(other).bytes
        rise = max(1.0, (second - first) / max(1, other - one))
        return max(0, min(MOST_ROWS, one + math.floor((budget - first) / rise)))

    @property
    def _accumulates(self) -> bool:
        return (self.plan.accumulation or 1) > 1

    @cached_property
    def _trained(self) -> list[Tensor]:
        unique = {id(parameter): parameter for name, parameter in self.model.named_parameters() if name in self.names}
        return list(unique.values())

    @cached_property
    def _still(self) -> Memory:
        """Constant parts."""
        tables = {id(m.weight): m.weight for m in base_model(self.model).modules() if isinstance(m, nn.Embedding)}
        embeddings = sum(_bytes(weight) for weight in tables.values())
        buffers = sum(_bytes(buffer) for buffer in {id(b): b for b in self.model.buffers()}.values())
        optimizer = str(dict(self.plan.arguments).get("optim", "adamw_torch_fused"))
        return Memory(
            weights=stored_bytes(self.model) + buffers - embeddings,
            embeddings=embeddings,
            copies=self.copies,
            optimizer=optimizer_bytes(self._trained, optimizer),
            process=PROCESS["cpu" if self.device.type == "cpu" else "cuda"],
        )

    def _moment(self, batch_size: int) -> Moment:
        if batch_size not in self._moments:
            shape = StepShape(
                batch_size=batch_size,
                length=self.length,
                device=self.device,
                bf16=self.cached is None and uses_bf16(self.plan, self.device, self.family),
                recomputed=bool(self.plan.gradient_checkpointing),
                accumulated=self._accumulates,
                backward=self.cached is None,
            )
            found = simulated_peak(self.model, self.names, shape)
            self._moments[batch_size] = found or formula_peak(self.model, self.names, shape)
        return self._moments[batch_size]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _workspace(device: torch.device) -> int:
    newer = torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (9, 0)
    return HOPPER_WORKSPACE if newer else WORKSPACE
