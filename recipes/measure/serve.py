"""Server of measuring processes: import, wait, fork.

It computes nothing, so that no thread of a runtime exists when it forks: each job starts its own, as many as it is
allowed. What its children load and measure is theirs alone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recipes.measure.tether import end_with

__all__ = ["serve"]

IMPORTS = (
    "recipes.measure.worker",
    "finetune.delta.opening",
    "finetune.batching.predict",
    "finetune.tasks.task",
    "datasets",
    "transformers.modeling_utils",
)
"""What every job imports late."""

LEARNED = ("compress.", "finetune.", "recipes.", "transformers.models.")
"""Where a module stands that is imported for the next jobs too, once one job has needed it. Not the runtimes of exports
and not bitsandbytes: they start threads, or the GPU's driver, when they are imported."""

FORKS_SAFELY = sys.platform == "linux"
"""Elsewhere the libraries of the system do not bear a fork, and each job imports for itself."""


def serve(descriptor: int) -> None:
    """Fork once for each request that the socket brings, and answer with the status; end when the caller ends.

    An interrupt of the terminal is the caller's to handle: when it lets go, the job ends by its tether.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    needed: Iterable[str] = IMPORTS
    with socket.socket(fileno=descriptor) as caller:
        _import(needed)
        while request := _request(caller):
            _import(needed)
            status, needed = _done(caller, *request)
            caller.sendall(str(status).encode())


def _import(names: Iterable[str]) -> None:
    for name in names if FORKS_SAFELY else ():
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a child would write to every object, and so copy the memory that it shares


def _request(caller: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """What is asked, with the descriptors of the tether and of the file for output; None when the caller has ended."""
    text, descriptors, _, _ = socket.recv_fds(caller, 65536, 2)
    while text and not text.endswith(b"\n"):
        more = caller.recv(65536)
        text = text + more if more else b""
    return (json.loads(text), descriptors) if text else None


def _done(caller: socket.socket, request: dict[str, Any], descriptors: list[int]) -> tuple[int, list[str]]:
    """Have a job done by a process of its own: how it ended, and the modules that it needed."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        caller.close()
        os.close(here)
        held, said = descriptors
        _become(request, held=held, said=said, needed=there)
    for descriptor in (*descriptors, there):
        os.close(descriptor)
    with os.fdopen(here) as needed:
        names = needed.read().split()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), names


def _become(request: dict[str, Any], *, held: int, said: int, needed: int) -> None:
    """Do the job that was asked, say which modules it needed, and end."""
    status = 1
    try:
        end_with(held)
        for stream in (1, 2):
            os.dup2(said, stream)
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environment"])
        before = set(sys.modules)
        from recipes.measure.worker import main

        status = main(Path(request["file"]))
        with os.fdopen(needed, "w") as there:
            there.write("\n".join(_learned(before)))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _learned(before: set[str]) -> list[str]:
    """The modules that were imported since; not the other names that transformers gives to some of them."""
    specs = {name: getattr(module, "__spec__", None) for name, module in sys.modules.items() if name not in before}
    return [name for name, spec in specs.items() if spec and spec.name == name and name.startswith(LEARNED)]
