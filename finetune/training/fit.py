"""Training entry: `make_fit` gives a `compress.core.fit.protocol.Fit` on transformers' Trainer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from compress.core.errors import InputError
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import DEFAULT_PLAN, NO_RATES, Rate, TrainPlan
from compress.core.fit.protocol import Fit, FitResult, Objective, Texts, trained_parameters
from compress.core.model.bundle import Bundle
from finetune.batching.batches import Batches
from finetune.batching.predict import predict
from finetune.processes import current
from finetune.tasks.encoding import text_fingerprint
from finetune.tasks.task import Splits, Task
from finetune.training.allocator import give_back
from finetune.training.arguments import training_arguments, uses_bf16
from finetune.training.checkpoints import Checkpointing, Finished, claim, last_whole, load_hooks, trained_names
from finetune.training.flops import forward_flops, training_flops
from finetune.training.hooks import EarlyStop, HeldMasks, Seen
from finetune.training.out_of_memory import Start, begun_with, retried
from finetune.training.same_model import same_model
from finetune.training.schedules import Joining, Pace
from finetune.training.scopes import activations_recomputed, left_as_found, plain_forward, randomness_restored

if TYPE_CHECKING:
    from finetune.training.trainer import HookedTrainer

__all__ = ["make_fit"]


def make_fit(
    task: Task,
    splits: Splits,
    *,
    seed: int,
    device: torch.device,
    directory: Path | None = None,
    progress: bool = False,
    checkpointing: Checkpointing | None = None,
) -> Fit:
    """A `Fit` on the train part of `splits`.

    Args:
        task: encodes rows and scores *select* for an early stop.
        splits: the data; *evaluation* is not touched.
        seed: of the order of the rows and of dropout, where a fit is given none of its own.
        device: where the model is trained, and left.
        directory: for checkpoints; each fit has `directory/name`. None: an interrupted fit begins again.
        progress: show a bar on a terminal.
        checkpointing: how often to write a checkpoint.
    """

    drawn = seed

    def fit(
        bundle: Bundle,
        objective: Objective,
        plan: TrainPlan,
        *,
        name: str = "fit",
        hooks: Sequence[Hook] = (),
        rates: Mapping[str, Rate] = NO_RATES,
        seed: int | None = None,
        texts: Texts | None = None,
    ) -> FitResult:
        with ExitStack() as stack:
            place = directory / name if directory else Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(randomness_restored())

            def run(used: TrainPlan) -> FitResult:
                bundle.masks = dict(masks)
                return Run(
                    bundle, objective, used, name, hooks, rates, asked=asked, texts=texts,
                    task=task, splits=splits, seed=drawn if seed is None else seed, device=device, place=place,
                    checkpointing=(checkpointing or Checkpointing()) if directory else None, bar=progress,
                ).result()  # fmt: skip

            asked, masks = plan.over(DEFAULT_PLAN), dict(bundle.masks)
            start = Start(bundle.model, hooks, place.with_name(f"{place.name}.start"))
            stack.callback(start.close)
            return retried(run, asked, begun=begun_with(place, asked), start=start)

    return fit


class Run:
    """One fit. `hooks` are the caller's and then those of every fit, all of which survive an interruption."""

    def __init__(
        self,
        bundle: Bundle,
        objective: Objective,
        plan: TrainPlan,
        name: str,
        hooks: Sequence[Hook],
        rates: Mapping[str, Rate],
        *,
        asked: TrainPlan,
        texts: Texts | None,
        task: Task,
        splits: Splits,
        seed: int,
        device: torch.device,
        place: Path,
        checkpointing: Checkpointing | None,
        bar: bool,
    ):
        self.batches = Batches(bundle, task, splits.train if texts is None else texts)
        self.data = splits.fingerprints.get("train") if texts is None else text_fingerprint(texts)
        self.args = training_arguments(
            plan, bundle.family, rows=len(self.batches), seed=seed, device=device, output=place
        )
        self.processes = current()
        if self.args.world_size != self.processes.count:
            raise InputError(
                f"a launcher started {self.args.world_size} processes, and {self.processes.count} of them train here",
                advice="run the recipe: `torchrun -m recipes run RECIPE`; or train inside finetune.processes.joined",
            )
        # Under a launcher each process has a device of its own, which the arguments know.
        self.bundle, self.objective, self.plan, self.name = bundle.to(self.args.device), objective, plan, name
        self.place, self.checkpointing, self.bar = place, checkpointing, bar
        self.seen = Seen(name, at_once=device.type == "cpu", processes=self.processes)
        self.names, self.asked = trained_names(bundle.model), asked
        self.early = EarlyStop(plan.patience, self._select_score, self.names) if plan.patience else None
        self.pace = Pace.of(plan, rates)
        self.joining = Joining(rates) if any(rate.start for rate in rates.values()) else None
        own = (HeldMasks(bundle), self.seen, self.early, self.joining)
        self.hooks = (*hooks, *(hook for hook in own if hook is not None))
        self.splits, self.task, self.seed = splits, task, seed

    def result(self) -> FitResult:
        """Train, or take up what an earlier run left."""
        same_model(self.bundle, self.processes)
        finished = Finished(self.place)
        self._main_only(lambda: claim(self.place, self._identity()))
        if self.processes.told(bool(finished)):
            steps = finished.restore(self.bundle.model, self.hooks, names=self.names)
        else:
            steps = self._train()
            if self.early:
                self.early.restore(self.bundle.model)
            if self.checkpointing:
                self._main_only(lambda: self._keep(finished, steps))
        self.processes.wait()  # what one reads, another may not clear away yet
        if self.joining:
            self.joining.before_step(self.bundle.model, 1 - 1 / max(1, steps))
        curve = tuple(self.seen.curve())
        return FitResult(
            steps=steps,
            seconds=self.seen.total_seconds(),
            trained_parameters=trained_parameters(self.bundle.model),
            loss=curve[-1] if curve else float("nan"),
            notes=self._notes(),
            losses=curve,
        )

    def _keep(self, finished: Finished, steps: int) -> None:
        finished.write(self.bundle.model, self.hooks, names=self.names, steps=steps)

    def _train(self) -> int:
        with left_as_found(self.bundle.model), activations_recomputed(self.bundle.model, self.plan):
            trainer = self._trainer()
            checkpoint = self.processes.told(last_whole(self.place))
            if checkpoint:
                load_hooks(self.hooks, checkpoint)
            try:
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
                self.seen.look()
            finally:
                trainer.close()
                give_back()
        return int(trainer.state.global_step)

    def _trainer(self) -> HookedTrainer:
        from finetune.training.callbacks import EpochEnds, Saves
        from finetune.training.progress import Bar, bar_wanted
        from finetune.training.trainer import HookedTrainer

        callbacks: list[Any] = [EpochEnds(self.early, self.bundle.model)] if self.early else []
        if self.checkpointing:
            callbacks.append(Saves(self.checkpointing, self.processes))
        if bar_wanted(self.bar) and self.processes.main:
            callbacks.append(Bar(self.name, self.seen))
        return HookedTrainer(
            self.bundle.model,
            self.args,
            objective=self.objective,
            hooks=self.hooks,
            seen=self.seen,
            batches=self.batches,
            callbacks=callbacks,
            pace=self.pace,
            processes=self.processes,
        )

    def _main_only(self, write: Callable[[], None]) -> None:
        """`write` in the main process, while the others wait."""
        if self.processes.main:
            write()
        self.processes.wait()

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be taken up."""
        size, accumulation = self.plan.batch_size, self.plan.accumulation
        return {
            "plan": self.plan.dump(),
            "memory": {"asked": self.asked.dump(), "batch_size": size, "accumulation": accumulation},
            "seed": self.seed,
            "train": self.data,
            "hooks": [type(hook).__name__ for hook in self.hooks],
            **(self.pace.identity() if self.pace else {}),
        }

    def _select_score(self) -> float:
        with plain_forward(self.bundle.model):
            answers = predict(self.bundle, self.task, self.splits.select)
        return self.task.score(answers, self.task.targets(self.splits.select))

    def _notes(self) -> dict[str, Any]:
        model = self.bundle.model
        share = trained_parameters(model) / max(1, sum(p.numel() for p in model.parameters()))
        counted = getattr(self.objective, "training_flops", training_flops)
        flops = counted(
            forward_flops(model, self.batches),
            tokens=self.seen.tokens,
            squared=self.seen.squared,
            trained_share=share,
        )
        several = {"processes": self.processes.count} if self.processes.count > 1 else {}
        early = {"select_by_epoch": self.early.scores, "best_epoch": self.early.best_epoch} if self.early else {}
        return {
            "precision": "bf16" if uses_bf16(self.plan, self.bundle.device, self.bundle.family) else "fp32",
            "tokens": self.seen.tokens,
            "training_flops": flops,
            **early,
            **several,
        }
