"""`.docs/methods.md`: everything that a recipe can name, written out of the members' docstrings.

`python -m tests.contracts.methods_page --write` makes the page anew.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import yaml

from compress.core.choice import Choice
from recipes.cli.show import example
from recipes.file.catalogue import FAMILIES, RECIPES, Entry, entries, kinds

__all__ = ["PAGE", "page", "source"]

PAGE = Path(__file__).parents[2] / ".docs" / "methods.md"
FIRST = ("stages", "methods")
"""The kinds that a reader looks for first; the others follow by the alphabet."""
HEAD = """\
# Everything that a recipe can name

Written from the code by `python -m tests.contracts.methods_page --write`. `trimformer show NAME` explains one, with its
settings and their defaults; `trimformer show train` the plan of a training.
"""


def page() -> str:
    """The page, in Markdown."""
    named = [kind for kind in kinds() if kind not in (FAMILIES, RECIPES, *FIRST)]
    return "\n".join([HEAD, *(_section(kind) for kind in (*FIRST, *named)), _book()])


def source(member: type[Choice]) -> str:
    """The papers of a member's docstring, on one line; empty where it names none."""
    _, _, papers = (inspect.getdoc(member) or "").partition("References:\n")
    return " ".join(papers.split("\n\n", 1)[0].split()).rstrip(".")


def _section(kind: str) -> str:
    lines = [
        f"## {kind.replace('_', ' ').capitalize()}\n",
        "| name | what it is | in a recipe | source |",
        "|---|---|---|---|",
    ]
    lines += [_row(entry) for entry in entries(kind)]
    return "\n".join([*lines, ""])


def _row(entry: Entry) -> str:
    cells = (f"`{entry.name}`", entry.summary, f"`{_line(entry.what)}`", source(entry.what))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _line(member: type[Choice]) -> str:
    """The shortest form in a recipe, on one line."""
    text = yaml.safe_dump(example(member), default_flow_style=True, sort_keys=False, width=10**6)
    text = text.removesuffix("\n").removesuffix("\n...")
    return re.sub(r"^\{(.*)\}$", r"\1", text)


def _book() -> str:
    lines = ["## Recipes of the book\n", "| name | what it is |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{entry.name}` | {entry.summary} |" for entry in entries(RECIPES)), ""])


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page())
