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
from recipes.stage_record import StageRecord

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["Folder", "Store", "discard", "disk_errors", "identity"]

STAGE_FILE = "stage.json"
MEASUREMENT_FILE = "measurement.json"
DISCARDED = ".discarded"
_HALF_WRITTEN = re.compile(r"\.(recipe\.yaml|report\.(json|md|html))\.\d+")
"""The names that `written_whole` gives to what it has not finished."""
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}
_FULL = 1 << 16
"""Bytes; a file system with less room than this is full."""


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

    def finished(self, expected: str) -> StageRecord | None:
        """What `stage.json` says, if the finished work has the expected identity."""
        return _record(self.final / STAGE_FILE, expected)

    def measured(self, expected: str) -> dict[str, Any] | None:
        return _matching(self.final / MEASUREMENT_FILE, expected)

    def begin(self, expected: str) -> Path:
        """The directory to work in; what an interrupted run of the same identity left there is kept."""
        mark = self.partial / "identity"
        if not mark.exists() or mark.read_text("utf-8") != expected:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=True)
            write_whole(mark, expected)
        shutil.rmtree(self.partial / "result", ignore_errors=True)
        return self.partial

    def finish(self, result: Path, record: StageRecord) -> None:
        """Make `result` (inside the partial directory) the finished stage, in one rename, then drop the rest."""
        record.write(result / STAGE_FILE)
        discard(self.final)
        result.rename(self.final)
        shutil.rmtree(self.partial, ignore_errors=True)

    def keep(self, record: StageRecord) -> None:
        """Say something else of the finished stage."""
        record.write(self.final / STAGE_FILE)

    def keep_measurement(self, facts: dict[str, Any]) -> None:
        write_whole(self.final / MEASUREMENT_FILE, json.dumps(facts, indent=1, sort_keys=True))

    def adopt(self, other: Path) -> None:
        """Take a finished stage of the same identity from elsewhere; files are linked where the disk allows.

        What is linked is one file in two places: it is replaced, and never written into.
        """
        shutil.rmtree(self.partial, ignore_errors=True)
        shutil.copytree(other, self.partial, copy_function=_link_or_copy)
        (self.partial / MEASUREMENT_FILE).unlink(missing_ok=True)
        discard(self.final)
        self.partial.rename(self.final)


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

    def elsewhere(self, expected: str, *, leaf: bool) -> Path | None:
        """A finished stage of this identity under another name here, or in another run of the store."""
        kind = "exports" if leaf else "stages"
        runs = [self.directory] if self.alone else [self.directory, *self._others()]
        for path in (found for run in runs for found in sorted(run.glob(f"{kind}/[!.]*/{STAGE_FILE}"))):
            if _record(path, expected):
                return path.parent
        return None

    def _others(self) -> list[Path]:
        return sorted(path for path in self.directory.parent.glob("*") if path != self.directory)


def discard(directory: Path) -> None:
    """Remove a directory so that a killed process leaves all of it or nothing that could be taken for finished."""
    if directory.exists():
        away = directory.with_name(f".{directory.name}.{os.getpid()}{DISCARDED}")
        directory.rename(away)
        shutil.rmtree(away, ignore_errors=True)


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


def _record(path: Path, expected: str) -> StageRecord | None:
    """A stage's record, if it is of this identity; other people's files may be unreadable."""
    record = StageRecord.read(path)
    return record if record is not None and record.identity == expected else None


def _matching(path: Path, expected: str) -> dict[str, Any] | None:
    """The facts in a file, if they are of this identity; other people's files may be unreadable."""
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("identity") == expected else None


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
