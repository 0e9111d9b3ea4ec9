"""Consistency check: the processes that are about to train together hold the same model."""

from __future__ import annotations

from compress.core.errors import StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.fingerprint import structure_fingerprint
from finetune.processes import Processes

__all__ = ["same_model"]


def same_model(bundle: Bundle, processes: Processes) -> None:
    """Compare the parameters' names, shapes and training, and the masks; the weights are the main process's anyway.

    Args:
        bundle: of this process.
        processes: that train together.

    Raises:
        StageFailed: the processes made different models out of what they were given.
    """
    if processes.count > 1 and len(set(processes.gathered(structure_fingerprint(bundle)))) > 1:
        raise StageFailed(
            "the processes came to different models, and cannot train them together",
            advice="use machines with equal processors, libraries and numbers of threads",
        )
