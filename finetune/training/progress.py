"""Progress bar of a long training, on a terminal only."""

from __future__ import annotations

import sys
import time
from typing import Any

from transformers import TrainerCallback

from finetune.training.hooks import Seen

__all__ = ["Bar", "bar_wanted"]

SECONDS_BETWEEN = 0.5


def bar_wanted(progress: bool) -> bool:
    return progress and sys.stderr.isatty()


class Bar(TrainerCallback):
    """Steps done, the latest loss, and the time that is left."""

    def __init__(self, name: str, seen: Seen):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.seen, self.drawn = seen, 0.0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.task = self.bar.add_task(name, total=None, loss="-")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.start()
        self.bar.update(self.task, total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if time.monotonic() - self.drawn >= SECONDS_BETWEEN:
            self.drawn = time.monotonic()
            loss = f"{self.seen.losses[-1]:.3f}" if self.seen.losses else "-"
            self.bar.update(self.task, completed=state.global_step, loss=loss)

    def stop(self) -> None:
        self.bar.stop()
