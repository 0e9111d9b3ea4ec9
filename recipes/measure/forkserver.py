"""The caller's side of the processes that measure: one server imports the libraries, and forks itself for each job.

Importing torch, transformers and datasets costs more than measuring a small model. `multiprocessing` has a forkserver
as well, whose children import the caller's main module, so that a script without a guard would run once more in each.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from recipes.measure.tether import tether

__all__ = ["Ended", "ForkServer", "environment", "run_job"]

LAUNCHER = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "ROLE_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
)


@dataclass(frozen=True)
class Ended:
    """Exit status of a process, below zero the signal that killed it, and its output."""

    status: int
    said: str


@dataclass
class ForkServer:
    """A process that has imported the libraries, and nothing of its caller; it ends when its caller ends.

    Libraries read their number of threads when they are loaded, so that a server serves jobs of one number of threads.
    """

    threads: int
    socket: socket.socket = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)
    said: IO[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.socket, there = socket.socketpair()
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        with there:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "recipes.measure", str(there.fileno())], pass_fds=(there.fileno(),),
                env=environment(self.threads), stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said,
            )  # fmt: skip

    def run(self, file: Path) -> Ended:
        """Exit status and output of a fresh process that ran a job; it is killed when this call or process ends.

        The server is closed where it has ended, or where the call is interrupted, since its answer would come later.
        """
        request = {"file": str(file.resolve()), "directory": str(Path.cwd()), "environment": environment(self.threads)}
        with tether() as held, tempfile.TemporaryFile() as said:
            try:
                socket.send_fds(self.socket, [json.dumps(request).encode() + b"\n"], [held, said.fileno()])
                answer = self.socket.recv(64)
            except BaseException:
                self.close()
                raise
            return Ended(int(answer), _text(said)) if answer else self._ended()

    def _ended(self) -> Ended:
        ended = Ended(self.process.wait(), _text(self.said))
        self.close()
        return ended

    @property
    def closed(self) -> bool:
        return self.socket.fileno() < 0

    def close(self) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait()
        self.said.close()


def run_job(file: Path, *, threads: int) -> Ended:
    """Exit status and output of a fresh process that ran the job of `file`, forked from the server of this process.

    Its memory holds the imports, about 300 MB, as a process's does that has imported them itself; what a job measures
    of memory and of loading begins after them.

    Args:
        file: the job, as JSON.
        threads: of every runtime in the process.
    """
    return _server(threads).run(file)


def environment(threads: int) -> dict[str, str]:
    """The caller's, less what a launcher of several processes set: the server is a process of its own."""
    root = Path(__file__).resolve().parents[2]
    inherited = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**inherited, **own, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))}


_servers: dict[int, ForkServer] = {}
"""By threads; one at a time, so that a process holds the memory of one."""


def _server(threads: int) -> ForkServer:
    server = _servers.get(threads)
    if server is None or server.closed:
        _close()
        server = _servers[threads] = ForkServer(threads)
    return server


@atexit.register
def _close() -> None:
    while _servers:
        _servers.popitem()[1].close()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
