"""Folder of one stage and seed in a run's directory: at work, finished, measured, taken from another run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from compress.core.files import write_whole
from recipes.stage_record import StageRecord

__all__ = ["DISCARDED", "STAGE_FILE", "Folder", "discard", "finished_record"]

STAGE_FILE = "stage.json"
MEASUREMENT_FILE = "measurement.json"
DISCARDED = ".discarded"


class Folder:
    """The place of one stage and seed: `final` when it is finished, `partial` while it is at work."""

    def __init__(self, parent: Path, name: str):
        self.name = name
        self.final = parent / name
        self.partial = parent / f".{name}.partial"

    def finished(self, expected: str) -> StageRecord | None:
        """What `stage.json` says, if the finished work has the expected identity."""
        return finished_record(self.final / STAGE_FILE, expected)

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


def discard(directory: Path) -> None:
    """Remove a directory so that a killed process leaves all of it or nothing that could be taken for finished."""
    if directory.exists():
        away = directory.with_name(f".{directory.name}.{os.getpid()}{DISCARDED}")
        directory.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def finished_record(path: Path, expected: str) -> StageRecord | None:
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
