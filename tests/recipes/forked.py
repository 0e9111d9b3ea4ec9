"""Workers that measure, forked from a process that has imported the libraries and nothing of this project.

A fresh process spends most of its time on importing torch and transformers. What it must show, that a directory opens
where nothing is left of the process that saved it, a fork of such a process shows as well.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from typing import Any

__all__ = ["Forked"]

LIBRARIES = (
    "datasets",
    "scipy.stats",
    "torch",
    "transformers.modeling_utils",
    "transformers.models.bert.modeling_bert",
)


class Forked:
    """In the place of the module `subprocess`: `run([python, "-m", module, *arguments])` in a fork."""

    CompletedProcess = subprocess.CompletedProcess

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(
        self, command: list[str], *, env: dict[str, str], pass_fds: tuple[int, ...], **_: Any
    ) -> subprocess.CompletedProcess[str]:
        """Without the tether, whose descriptor the libraries' process does not have."""
        assert self.process.stdin and self.process.stdout
        _, flag, *arguments = (part for part in command if part not in map(str, pass_fds))
        assert flag == "-m"
        self.process.stdin.write(json.dumps({"arguments": arguments, "env": env}) + "\n")
        self.process.stdin.flush()
        status, said = json.loads(self.process.stdout.readline())
        return subprocess.CompletedProcess(command, status, "", said)

    def close(self) -> None:
        self.process.communicate()


def serve() -> None:
    """Fork once for each line of the standard input, and answer with the status and what was said."""
    import gc
    import importlib
    import tempfile

    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            child = os.fork()
            if not child:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                become(**json.loads(line))
            _, status = os.waitpid(child, 0)
            said.seek(0)
            print(json.dumps([os.waitstatus_to_exitcode(status), said.read()]), file=answers, flush=True)


def become(arguments: list[str], env: dict[str, str]) -> None:
    """Be `python -m MODULE ARGUMENTS` in the environment `env`, and end."""
    import traceback

    status = 1
    try:
        os.environ.clear()
        os.environ.update(env)
        sys.path[:0] = env["PYTHONPATH"].split(os.pathsep)
        sys.argv = list(arguments)
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder
    serve()
