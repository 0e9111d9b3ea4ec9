"""Folder of one stage and seed in a run's directory: at work, finished, measured, taken from another run."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.core.errors import TrimformerError
from compress.core.file_marks import Mark, damaged_files, mark_of, marks_of, renewed_marks
from compress.core.files import write_whole
from recipes.sealed import sealed_text, unsealed
from recipes.stage_record import StageRecord

__all__ = ["DISCARDED", "LOGITS", "STAGE_FILE", "Folder", "Found", "discard", "found_at"]

STAGE_FILE = "stage.json"
MEASUREMENT_FILE = "measurement.json"
LOGITS = "logits.npz"
"""The answers to the evaluation rows."""
MEASURED = (MEASUREMENT_FILE, LOGITS)
"""What is measured after a stage is finished, and measured again where it is lost."""
DISCARDED = ".discarded"


@dataclass(frozen=True)
class Found:
    """What lies where a finished stage is looked for.

    Attributes:
        record: the stage's, if it is finished, of the identity that was asked for, and as it was written.
        damaged: names of the files of a finished stage that are missing, or are not as they were written.
    """

    record: StageRecord | None = None
    damaged: tuple[str, ...] = ()


class Folder:
    """The place of one stage and seed: `final` when it is finished, `partial` while it is at work."""

    def __init__(self, parent: Path, name: str):
        self.name = name
        self.final = parent / name
        self.partial = parent / f".{name}.partial"

    def finished(self, expected: str, *, whole: bool = False) -> Found:
        """The finished work, if it has the expected identity.

        Args:
            expected: the identity.
            whole: hash every file; otherwise those that are small, or changed since.
        """
        found = found_at(self.final, expected, whole=whole)
        if found.record is not None:
            self._renew(found.record)
        return found

    def measured(self, expected: str) -> dict[str, Any] | None:
        """What was measured, if it has the expected identity and its files are as they were written."""
        facts = _measurement(self.final)
        if facts is None or facts.get("identity") != expected:
            return None
        try:
            marks = {name: Mark.model_validate(mark) for name, mark in facts.get("files", {}).items()}
        except (ValueError, AttributeError):
            return None
        return None if damaged_files(self.final, marks, whole=True) else facts

    def begin(self, expected: str) -> Path:
        """The directory to work in; what an interrupted run of the same identity left there is kept."""
        mark = self.partial / "identity"
        if not mark.exists() or mark.read_bytes() != expected.encode():
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=True)
            write_whole(mark, expected)
        shutil.rmtree(self.partial / "result", ignore_errors=True)
        return self.partial

    def finish(self, result: Path, record: StageRecord) -> None:
        """Make `result` (inside the partial directory) the finished stage, in one rename, then drop the rest."""
        record.files = marks_of(result, leave=(STAGE_FILE, *MEASURED))
        record.write(result / STAGE_FILE)
        discard(self.final)
        result.rename(self.final)
        shutil.rmtree(self.partial, ignore_errors=True)

    def keep(self, record: StageRecord) -> None:
        """Say something else of the finished stage."""
        record.write(self.final / STAGE_FILE)

    def keep_measurement(self, facts: dict[str, Any]) -> None:
        """Keep what was measured, with the mark of the answers that lie beside it."""
        answers = self.final / LOGITS
        kept = {**facts, "files": {LOGITS: mark_of(answers).model_dump()} if answers.is_file() else {}}
        write_whole(self.final / MEASUREMENT_FILE, sealed_text(kept))

    def adopt(self, other: Path, record: StageRecord, *, change: Callable[[Path], None] | None = None) -> StageRecord:
        """Take a finished stage of the same identity from elsewhere; files are linked where the disk allows.

        What is linked is one file in two places: it is replaced, and never written into.

        Args:
            other: the directory of the stage.
            record: what is said of it here.
            change: what is replaced in the copy.

        Returns:
            The record, with the marks of the files here.
        """
        shutil.rmtree(self.partial, ignore_errors=True)
        shutil.copytree(other, self.partial, copy_function=_link_or_copy)
        if other != self.final:
            (self.partial / MEASUREMENT_FILE).unlink(missing_ok=True)
        if change is not None:
            change(self.partial)
        own = _with_marks(self.partial, record)
        own.write(self.partial / STAGE_FILE)
        discard(self.final)
        self.partial.rename(self.final)
        return own

    def _renew(self, record: StageRecord) -> None:
        """Keep the marks that the files have here: those of a copied run have other times, an older one has none."""
        marked = _with_marks(self.final, record)
        if marked.files != record.files:
            record.files = marked.files
            self.keep(record)


def found_at(directory: Path, expected: str, *, whole: bool) -> Found:
    """The finished stage in a directory; other people's files may be unreadable.

    Args:
        directory: of the stage.
        expected: its identity.
        whole: hash every file.
    """
    file = directory / STAGE_FILE
    record = StageRecord.read(file)
    if record is None:
        return Found(damaged=(STAGE_FILE,) if directory.is_dir() else ())
    if record.identity != expected:
        return Found()
    damaged = _older_damage(directory) if record.files is None else damaged_files(directory, record.files, whole=whole)
    return Found(damaged=tuple(damaged)) if damaged else Found(record)


def discard(directory: Path) -> None:
    """Remove a directory so that a killed process leaves all of it or nothing that could be taken for finished."""
    if directory.exists():
        away = directory.with_name(f".{directory.name}.{os.getpid()}{DISCARDED}")
        directory.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def _with_marks(directory: Path, record: StageRecord) -> StageRecord:
    before = record.files
    files = (
        renewed_marks(directory, before) if before is not None else marks_of(directory, leave=(STAGE_FILE, *MEASURED))
    )
    return record.model_copy(update={"files": files})


def _older_damage(directory: Path) -> list[str]:
    """Damage of a stage whose record has no marks: its model is compared with the digest that was measured."""
    from recipes.measure.size import sha256

    outcome = (_measurement(directory) or {}).get("outcome")
    measured = outcome.get("sha256") if isinstance(outcome, Mapping) else None
    try:
        return [] if measured in (None, sha256(directory), _older_sha256(directory)) else ["the model"]
    except (OSError, ValueError, TypeError, TrimformerError):
        return ["the model"]


def _older_sha256(directory: Path) -> str:
    """The digest that older versions measured, which had the path to a delta's base in it."""
    from recipes.measure.size import model_files, tokenizer_files

    digest = hashlib.sha256()
    for path in sorted([*model_files(directory), *tokenizer_files(directory)]):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _measurement(directory: Path) -> dict[str, Any] | None:
    try:
        return unsealed((directory / MEASUREMENT_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
