"""Whether the processes that are about to train together hold the same model."""

from __future__ import annotations

import hashlib

from compress.core.errors import StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.masks import pack
from finetune.processes import Processes

__all__ = ["same_model"]


def same_model(bundle: Bundle, processes: Processes) -> None:
    """Compare the parameters' names, shapes and training, and the masks; the weights are the main process's anyway.

    Raises:
        StageFailed: the processes made different models out of what they were given.
    """
    if processes.count > 1 and len(set(processes.gathered(_mark(bundle)))) > 1:
        raise StageFailed(
            "the processes came to different models, and cannot train them together",
            advice="use machines with equal processors, libraries and numbers of threads",
        )


def _mark(bundle: Bundle) -> str:
    digest = hashlib.sha256()
    for name, parameter in bundle.model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.requires_grad}\n".encode())
    for name, mask in sorted(bundle.masks.items()):
        digest.update(name.encode() + pack(mask).cpu().numpy().tobytes())
    return digest.hexdigest()
