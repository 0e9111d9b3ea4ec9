"""transformers' Trainer with an objective and hooks. Imports transformers; import it late."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from compress.core.errors import InputError
from compress.core.fit.hooks import Hook
from compress.core.fit.protocol import Objective
from compress.core.model.evaluation import model_inputs
from finetune.batching.batches import Batches
from finetune.batching.loader import WEIGHT, Collated, Loader, Rows
from finetune.batching.sampler import LengthGrouped
from finetune.processes import ALONE, Processes
from finetune.training.callbacks import Steps
from finetune.training.checkpoints import load_weights, save_hooks, save_weights, seal, torch_writes, trained_names
from finetune.training.flops import grid
from finetune.training.hooks import Seen
from finetune.training.schedules import Pace

__all__ = ["HookedTrainer"]


class HookedTrainer(Trainer):
    """Minimises `objective`; calls `hooks` before a step, after backward on unclipped gradients, and after a step.

    Raises:
        InputError: the launcher asks for FSDP.
    """

    # The loss is a mean over its batch; Trainer divides it by the number of batches in a step.
    loss_is_scaled_for_ga = False
    objective: Objective
    trained: nn.Module
    """The model without what a launcher wraps around it."""

    def __init__(
        self, model: nn.Module, args: TrainingArguments, *, objective: Objective, hooks: Sequence[Hook], seen: Seen,
        batches: Batches, callbacks: Sequence[TrainerCallback], pace: Pace | None = None,
        processes: Processes = ALONE,
    ):  # fmt: skip
        self.pace, self.names = pace, trained_names(model)
        self.trained, self.objective, self.hooks, self.seen = model, objective, tuple(hooks), seen
        self.sampler = LengthGrouped(
            batches.lengths, batch_size=args.per_device_train_batch_size, seed=args.seed,
            processes=processes, drop_last=args.dataloader_drop_last,
        )  # fmt: skip
        self.weight, self.rows = 1.0, Rows(len(batches))
        super().__init__(
            model=model,
            args=args,
            train_dataset=self.rows,
            data_collator=Collated(batches),
            callbacks=[Steps(self), *callbacks],
        )
        self.model_accepts_loss_kwargs = False  # else Trainer counts the labels of every batch for nothing
        self.remove_callback(PrinterCallback)
        if self.is_fsdp_enabled:
            raise InputError(
                "FSDP leaves each process a part of the weights, and a stage gives on a whole model",
                advice="launch without FSDP: each process then holds the model, and they divide the rows",
            )

    @property
    def progress(self) -> float:
        """The share of all optimiser steps done."""
        return self.state.global_step / max(1, self.state.max_steps)

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], *_: Any, **__: Any) -> Tensor:
        loss = self.objective(model, inputs)
        return loss if self.weight == 1 else loss * self.weight

    def training_step(self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Any = None) -> Tensor:
        self.weight = float(inputs.pop(WEIGHT))
        loss = super().training_step(model, inputs, num_items_in_batch)
        rows, length = grid(model_inputs(inputs))
        self.seen.add_batch(loss, inputs["row_id"], rows=rows, length=length)
        if self.accelerator.sync_gradients:
            self.seen.add_step(self._get_learning_rate())
            for hook in self.hooks:
                hook.after_backward(self.trained, self.progress)
        return loss

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Matrices alone: decay would shrink DoRA's magnitudes and AdaLoRA's singular values, as it would gains."""
        vectors = {
            name for name, parameter in model.named_parameters() if parameter.numel() == max(parameter.shape, default=1)
        }
        return [name for name in super().get_decay_parameter_names(model) if name not in vectors]

    def create_optimizer(self, model: nn.Module | None = None) -> Any:
        fresh = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if self.pace and fresh:
            self.pace.regroup(optimizer, self.trained if model is None else model)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        fresh = self.lr_scheduler is None
        scheduler: Any = super().create_scheduler(num_training_steps, optimizer)
        if self.pace and fresh:
            scheduler = self.lr_scheduler = self.pace.scheduler(scheduler, num_training_steps)
        return scheduler

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0

    def get_train_dataloader(self) -> Loader:
        """Batches that are divided already: accelerate would repeat rows to fill the last one."""
        args, several = self.args, self.args.dataloader_num_workers > 0
        return Loader(
            self.rows,
            batch_sampler=self.sampler,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor if several else None,
        )

    def _save_checkpoint(self, *args: Any, **settings: Any) -> None:
        # Every process is here; the main one alone writes what they have seen.
        self.seen.look()
        with torch_writes(Path(str(self.args.output_dir))):
            super()._save_checkpoint(*args, **settings)
            if self.args.world_size == 1:  # other processes may still write their random numbers
                seal(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}")

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        if self.is_deepspeed_enabled:
            super()._save(output_dir, state_dict)
        if self.args.should_save:
            directory = Path(output_dir or str(self.args.output_dir))
            save_weights(self.trained, directory, self.names, state_dict)
            save_hooks(self.hooks, directory)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(self.trained, Path(resume_from_checkpoint), self.names)

    def close(self) -> None:
        """Let go of the optimiser's memory, and end the bar if there is one."""
        for callback in self.callback_handler.callbacks:
            stop = getattr(callback, "stop", None)
            if stop is not None:
                stop()
        if self.args.device.type == "cuda":
            self.accelerator.free_memory()
        self.optimizer = self.lr_scheduler = None
