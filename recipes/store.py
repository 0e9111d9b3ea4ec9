"""The directory of a run: who may write it, what is finished in it, what can be reused.

runs/<name>/
  recipe.yaml  report.json  report.md  report.html  log.txt
  stages/NN-id/          a finished model; stage.json has its identity, measurement.json what was measured
  stages/.NN-id.partial/ a stage at work: checkpoints, caches; survives an interruption, goes with the stage
  exports/NN-id/         a finished artifact
  .work/                 evaluation rows for the measuring process, uncompressed references of other runtimes
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compress.core.errors import InputError
from recipes.record import write_atomically

__all__ = ["Folder", "Store", "identity"]

STAGE_FILE = "stage.json"
MEASUREMENT_FILE = "measurement.json"


def identity(**facts: Any) -> str:
    """SHA-256 of the canonical JSON of what decides a result."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Folder:
    """The place of one stage and seed: `final` when it is finished, `partial` while it is at work."""

    def __init__(self, parent: Path, name: str):
        self.name = name
        self.final = parent / name
        self.partial = parent / f".{name}.partial"

    def finished(self, expected: str) -> dict[str, Any] | None:
        """What `stage.json` says, if the finished work has the expected identity."""
        return _matching(self.final / STAGE_FILE, expected)

    def measured(self, expected: str) -> dict[str, Any] | None:
        return _matching(self.final / MEASUREMENT_FILE, expected)

    def begin(self, expected: str) -> Path:
        """The directory to work in; what an interrupted run of the same identity left there is kept."""
        mark = self.partial / "identity"
        if not mark.exists() or mark.read_text("utf-8") != expected:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=True)
            write_atomically(mark, expected)
        shutil.rmtree(self.partial / "result", ignore_errors=True)
        return self.partial

    def finish(self, result: Path, facts: dict[str, Any]) -> None:
        """Make `result` (inside the partial directory) the finished stage, in one rename, then drop the rest."""
        write_atomically(result / STAGE_FILE, json.dumps(facts, indent=1, sort_keys=True))
        if self.final.exists():
            shutil.rmtree(self.final)
        result.rename(self.final)
        shutil.rmtree(self.partial, ignore_errors=True)

    def keep_measurement(self, facts: dict[str, Any]) -> None:
        write_atomically(self.final / MEASUREMENT_FILE, json.dumps(facts, indent=1, sort_keys=True))

    def adopt(self, other: Path) -> None:
        """Take another run's finished stage of the same identity; files are linked where the disk allows."""
        shutil.rmtree(self.partial, ignore_errors=True)
        shutil.copytree(other, self.partial, copy_function=_link_or_copy)
        (self.partial / MEASUREMENT_FILE).unlink(missing_ok=True)
        if self.final.exists():
            shutil.rmtree(self.final)
        self.partial.rename(self.final)


class Store:
    """A run's directory, and beside it the other runs of the same store."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.work = directory / ".work"

    def folder(self, name: str, *, leaf: bool = False) -> Folder:
        return Folder(self.directory / ("exports" if leaf else "stages"), name)

    def relative(self, path: Path) -> str:
        return path.relative_to(self.directory).as_posix()

    @contextmanager
    def opened(self, recipe_name: str, recipe_text: str, *, fresh: bool) -> Iterator[Store]:
        """Hold the directory for this process.

        Raises:
            InputError: it holds another recipe's run, something that is no run, or another process is using it.
        """
        from filelock import FileLock, Timeout

        self._refuse_strangers(recipe_name)
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(self.directory / ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                "another process is using this output directory",
                where=str(self.directory),
                advice="wait for it to end, or give another directory with --out",
            ) from None
        try:
            if fresh:
                self._clear()
            write_atomically(self.directory / "recipe.yaml", recipe_text)
            yield self
        finally:
            lock.release()

    def _refuse_strangers(self, recipe_name: str) -> None:
        if self.directory.exists() and not self.directory.is_dir():
            raise InputError(
                "the output directory is a file", where=str(self.directory), advice="give another with --out"
            )
        written = self.directory / "recipe.yaml"
        if written.exists():
            from recipes.loading import read

            name = read(written).data.get("name")
            if name != recipe_name:
                raise InputError(
                    f"the output directory holds the run of another recipe, {name!r}",
                    where=str(self.directory),
                    given=recipe_name,
                    advice="give another directory with --out, or remove this one",
                )
        elif self.directory.exists() and any(p.name != ".lock" for p in self.directory.iterdir()):
            raise InputError(
                "the output directory is not empty and holds no run",
                where=str(self.directory),
                advice="give a new or an empty directory with --out",
            )

    def _clear(self) -> None:
        for name in ("stages", "exports", ".work"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        for name in ("report.json", "report.md", "report.html", "log.txt"):
            (self.directory / name).unlink(missing_ok=True)

    def elsewhere(self, expected: str, *, leaf: bool) -> Path | None:
        """A finished stage of this identity in another run of the store."""
        kind = "exports" if leaf else "stages"
        for path in sorted(self.directory.parent.glob(f"*/{kind}/*/{STAGE_FILE}")):
            if self.directory not in path.parents and _matching(path, expected):
                return path.parent
        return None


def _matching(path: Path, expected: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError:
        return None
    return facts if facts.get("identity") == expected else None


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
