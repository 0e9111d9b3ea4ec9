"""The directory of a run: who may write it, what is finished in it, what can be reused.

runs/<name>/
  recipe.yaml  report.json  report.md  report.html  log.txt
  stages/NN-id/          a finished model; stage.json has its identity, measurement.json what was measured
  stages/.NN-id.partial/ a stage at work: checkpoints, caches; survives an interruption, goes with the stage
  exports/NN-id/         a finished artifact
  .work/                 evaluation rows for the measuring process, uncompressed references of other runtimes
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.core.errors import InputError, StageFailed, TrimformerError
from compress.core.files import write_whole
from recipes.engine.folder import DISCARDED, STAGE_FILE, Folder, Found, discard, found_at
from recipes.stage_record import StageRecord

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["Store", "disk_errors", "identity"]

WRITTEN = ("recipe.yaml", "report.json", "report.md", "report.html", "log.txt", ".lock")
_HALF_WRITTEN = re.compile(r"\.(recipe\.yaml|report\.(json|md|html))\.\d+")
"""The names that `written_whole` gives to what it has not finished."""
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}
_FULL = 1 << 16
"""Bytes; a file system with less room than this is full."""


def identity(**facts: Any) -> str:
    """SHA-256 of the canonical JSON of what decides a result."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """A run's directory, and beside it the other runs of the same store.

    `alone`: other runs are not looked at, so that all work is done here.
    """

    def __init__(self, directory: Path, *, alone: bool = False):
        self.directory, self.alone = directory, alone
        self.work = directory / ".work"

    def folder(self, name: str, *, leaf: bool = False) -> Folder:
        return Folder(self.directory / ("exports" if leaf else "stages"), name)

    def relative(self, path: Path) -> str:
        return path.relative_to(self.directory).as_posix()

    @contextmanager
    def opened(self, recipe_name: str, recipe_text: str, *, fresh: bool) -> Iterator[Store]:
        """Hold the directory for this process.

        Raises:
            InputError: it holds another recipe's run, something that is no run, it cannot be written, or another
                process is using it.
        """
        lock = self._locked(recipe_name)
        try:
            self._tidy()
            if fresh:
                self._clear()
            write_whole(self.directory / "recipe.yaml", recipe_text)
            yield self
        finally:
            lock.release()

    def _locked(self, recipe_name: str) -> BaseFileLock:
        from filelock import FileLock, Timeout

        elsewhere = "give another directory with --out"
        try:
            self._refuse_strangers(recipe_name)
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = FileLock(str(self.directory / ".lock"))
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                "another process is using this output directory",
                where=str(self.directory),
                advice=f"wait for it to end, or {elsewhere}",
            ) from None
        except OSError as error:
            raise InputError(
                f"the output directory cannot be used: {error.strerror or error}",
                where=str(self.directory),
                advice=elsewhere,
            ) from error
        return lock

    def _tidy(self) -> None:
        """Remove what a killed process left half written or half removed."""
        folders = [self.directory, self.directory / "stages", self.directory / "exports"]
        discarded = [path for folder in folders for path in folder.glob(f".*{DISCARDED}")]
        for path in [*discarded, *self.work.glob("measure-*")]:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.directory.glob(".*"):
            if _HALF_WRITTEN.fullmatch(path.name):
                path.unlink()

    def _refuse_strangers(self, recipe_name: str) -> None:
        if self.directory.exists() and not self.directory.is_dir():
            raise InputError(
                "the output directory is a file", where=str(self.directory), advice="give another with --out"
            )
        for file in WRITTEN:
            if (self.directory / file).is_dir():
                raise InputError(
                    f"a directory is where the run writes {file}",
                    where=str(self.directory / file),
                    advice="remove it, or give another directory with --out",
                )
        written = self.directory / "recipe.yaml"
        if written.exists():
            from recipes.file.yaml import read

            data = read(written).data
            name = data.get("name") if isinstance(data, dict) else None
            if name != recipe_name:
                raise InputError(
                    f"the output directory holds the run of another recipe, {name!r}",
                    where=str(self.directory),
                    given=recipe_name,
                    advice="give another directory with --out, or remove this one",
                )
        elif self.directory.exists() and any(not _our_first_files(path) for path in self.directory.iterdir()):
            raise InputError(
                "the output directory is not empty and holds no run",
                where=str(self.directory),
                advice="give a new or an empty directory with --out",
            )

    def _clear(self) -> None:
        for name in ("stages", "exports", ".work"):
            discard(self.directory / name)
        for name in ("report.json", "report.md", "report.html", "log.txt"):
            (self.directory / name).unlink(missing_ok=True)

    def elsewhere(self, expected: str, *, leaf: bool, but: Path | None = None) -> Iterator[tuple[Path, Found]]:
        """Finished stages of this identity under another name here, or in another run of the store, hashed.

        Args:
            expected: the identity.
            leaf: whether it is an export.
            but: a directory that is not looked at.
        """
        kind = "exports" if leaf else "stages"
        runs = [self.directory] if self.alone else [self.directory, *self._others()]
        for path in (found.parent for run in runs for found in sorted(run.glob(f"{kind}/[!.]*/{STAGE_FILE}"))):
            record = None if path == but else StageRecord.read(path / STAGE_FILE)
            if record is not None and record.identity == expected:
                yield path, found_at(path, expected, whole=True)

    def _others(self) -> list[Path]:
        return sorted(path for path in self.directory.parent.glob("*") if path != self.directory)


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """What the disk below `where` refuses is one message; every other error stays what it is.

    Raises:
        StageFailed: the disk is full, or may not be written.
    """
    try:
        yield
    except TrimformerError:
        raise
    except Exception as error:
        reason = _refusal(error, where)
        if reason is None:
            raise
        raise StageFailed(
            f"the disk would not take the result: {reason}",
            where=str(where),
            advice="finished stages are whole; make room and run again",
        ) from error


def _refusal(error: Exception, where: Path) -> str | None:
    """Why the disk took no more. Libraries in other languages have their own errors for a full one."""
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        return os.strerror(error.errno)
    there = next(path for path in (where, *where.absolute().parents) if path.exists())
    full = shutil.disk_usage(there).free < _FULL or os.strerror(errno.ENOSPC) in str(error)
    return os.strerror(errno.ENOSPC) if full else None


def _our_first_files(path: Path) -> bool:
    """What a process leaves that is killed before it has written `recipe.yaml`."""
    return path.name == ".lock" or _HALF_WRITTEN.fullmatch(path.name) is not None
