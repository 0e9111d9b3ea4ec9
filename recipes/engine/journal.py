"""Progress lines of a run: on the terminal, and with times in `log.txt`. No torch here."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["Journal"]


class Journal:
    """Writes each line twice; without a file to the terminal alone."""

    def __init__(self, file: Path | None):
        from rich.console import Console

        self.file = file
        self.console = Console(stderr=True, highlight=False)

    def say(self, text: str, *, style: str | None = None) -> None:
        self.console.print(text, style=style, markup=False, soft_wrap=True)
        self.keep(text)

    def keep(self, text: str) -> None:
        """Write lines into the file alone."""
        if self.file is not None:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S")
            with self.file.open("a", encoding="utf-8") as log:
                log.writelines(f"{stamp} {line}\n" for line in text.splitlines())

    def begin(self, number: int, count: int, name: str) -> None:
        self.say(f"[{number}/{count}] {name}", style="bold")

    def reused(self, number: int, count: int, name: str) -> None:
        self.say(f"[{number}/{count}] {name}: finished before and unchanged, reused", style="dim")
