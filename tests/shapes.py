"""Shapes are checked: each module whose annotations have shapes is imported through jaxtyping's hook, with beartype."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["check_shapes", "checked", "with_shapes"]

ROOT = Path(__file__).parents[1]
PACKAGES = ("compress", "finetune", "recipes")
SHAPED = re.compile(r"\b(Bool|Float\d*|Int\d*|UInt\d*|Num|Real|Inexact|Shaped)\[")


def with_shapes() -> list[str]:
    """The modules that import jaxtyping. All others have nothing to check, and would cost time."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    found = [file for file in files if "from jaxtyping import" in file.read_text("utf-8")]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in found]


def check_shapes() -> None:
    """From here on, a tensor of another type or shape than an annotation says is an error, where it comes or goes."""
    from jaxtyping import install_import_hook

    install_import_hook(with_shapes(), f"{__name__}.checked")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its shapes checked; its other annotations are mypy's, and some cannot be tested by a value."""
    from beartype import beartype

    kept = {name: hint for name, hint in function.__annotations__.items() if SHAPED.search(_text(hint))}
    function.__annotations__ = kept
    return beartype(function) if kept else function


def _text(hint: Any) -> str:
    return hint if isinstance(hint, str) else repr(hint)
