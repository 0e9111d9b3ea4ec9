"""The processes that a launcher (torchrun, accelerate) started together: which one this is, and what they exchange.

The main process has rank 0. Work that all of them share stands inside `Processes.together()`; there `current()` gives
them all. Everywhere else `current()` is one process alone, so that what the main process does by itself (planning,
writing, measuring) never waits for another.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import numpy as np
import torch.distributed as dist

from compress.core.errors import TrimformerError

__all__ = ["ALONE", "Parted", "Processes", "current", "everyone", "first_to_fail", "joined", "lost"]

Value = TypeVar("Value")

AT_WORK = timedelta(hours=2)
"""How long a process waits for another in the middle of a training."""
IDLE = timedelta(days=30)
"""How long it waits for the next order, while the main process measures; a process that dies is noticed at once."""
GRACE = timedelta(seconds=60)
"""How long a process that failed waits for the others to fail alike."""
FAILED = "trimformer/failed"


class Parted(Exception):
    """One process failed where another did not, so that they can share no more work; the cause is the failure."""


@dataclass(frozen=True)
class Processes:
    """Who takes part.

    Args:
        rank: of this process, from 0.
        count: how many there are.
        group: of torch.distributed, on the CPU; None where there is one process.
    """

    rank: int = 0
    count: int = 1
    group: Any = None

    @property
    def main(self) -> bool:
        """Whether this is the process that plans, writes, measures and prints."""
        return self.rank == 0

    def told(self, value: Value | None = None) -> Value:
        """The main process's value, in every process; what the others give does not matter."""
        if self.count == 1:
            return cast(Value, value)
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, group=self.group)
        return cast(Value, box[0])

    def gathered(self, value: Value) -> list[Value]:
        """The values of all processes, by rank."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value, group=self.group)
        return found

    def total(self, values: np.ndarray) -> np.ndarray:
        """The elementwise sum of all processes' arrays, which have one shape."""
        if self.count == 1:
            return values
        import torch

        summed = torch.from_numpy(values.copy())
        dist.all_reduce(summed, group=self.group)
        return summed.numpy()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier(group=self.group)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Inside a `with`, which every process enters, `current()` is this; all leave it together.

        Raises:
            Parted: this process failed, and the others did not within a minute.
            TrimformerError: every process failed alike; they can go on with other work.
        """
        global _present
        before, _present = _present, self
        try:
            yield
            self.wait()
        except TrimformerError as error:
            if not self._failed_everywhere():
                raise Parted from error
            raise
        finally:
            _present = before

    def _failed_everywhere(self) -> bool:
        if self.count == 1:
            return True
        store, round_ = _store(), next(_rounds)
        store.set(f"{FAILED}/{round_}/{self.rank}", "")
        try:
            store.wait([f"{FAILED}/{round_}/{rank}" for rank in range(self.count)], GRACE)
        except Exception:  # the store has its own errors for a wait that was too long, and for a connection that ended
            return False
        return True


ALONE = Processes()
_everyone: Processes | None = None
_present = ALONE
_rounds = iter(range(2**31))


def current() -> Processes:
    """The processes that share the work that is going on; `ALONE` where none is shared."""
    return _present


def everyone() -> Processes:
    """All processes that `joined` connected, whether or not they share work now."""
    return _everyone or ALONE


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """All processes of the launcher, connected until the end of the `with`; `ALONE` where there was no launcher.

    Args:
        device: `cpu` or `cuda`, where models are trained. Each process takes the GPU of its local rank.
    """
    global _everyone
    if _everyone is not None or _launched() == 1:
        yield everyone()
        return
    if not _first_by_name():
        _hush()
    from accelerate import PartialState

    PartialState(cpu=device == "cpu", timeout=AT_WORK)
    group = dist.new_group(backend="gloo", timeout=IDLE)
    _everyone = Processes(dist.get_rank(), dist.get_world_size(), group)
    try:
        yield _everyone
    finally:
        _everyone = None
    # After a failure the others may not be there to take leave of.
    dist.destroy_process_group()


def first_to_fail() -> bool:
    """Whether no other process has failed before this one, which then is the one that says why. Asked once."""
    if _launched() == 1:
        return True
    if not dist.is_initialized():
        return _first_by_name()
    try:
        return int(_store().add(FAILED, 1)) == 1
    except Exception:  # who kept the store has ended, and said why
        return False


def lost(error: BaseException) -> bool:
    """Whether an error says that another process ended while this one was waiting for it."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _launched() -> int:
    """How many processes the launcher started; every launcher says so."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _first_by_name() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()


def _hush() -> None:
    """What the main process says once, this one does not say again."""
    os.environ["TQDM_DISABLE"] = "1"
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
