"""Usage example of a saved model: a few lines of Python that open it and compute an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.core.checkpoint.resolve import read_config

__all__ = ["Usage", "auto_class", "class_names", "model_usage"]

TRUSTED = ", trust_remote_code=True"


@dataclass(frozen=True)
class Usage:
    """Usage example.

    Attributes:
        imports: lines, besides that of the processor.
        opening: statement that opens the model from `directory`, as `model`.
        logits: expression of `model` and `inputs`.
        labels: expression for the mapping from classes to names; "" where the model answers with no class.
        arrays: `pt` or `np`: what the processor gives.
        images: whether it reads images, not text.
        trusted: whether transformers runs the code of the directory; it asks before it opens a tokenizer there too.
    """

    imports: tuple[str, ...]
    opening: str
    logits: str
    labels: str = ""
    arrays: str = "pt"
    images: bool = False
    trusted: bool = False

    def code(self, directory: str, *, remark: str = "") -> str:
        """Lines to copy.

        Args:
            directory: of the model, as the lines name it.
            remark: what that name is relative to, for a comment.
        """
        processor, example = ("AutoImageProcessor", "image, ") if self.images else ("AutoTokenizer", '"a text", ')
        cut, trusted = "" if self.images else "truncation=True, ", TRUSTED if self.trusted else ""
        lines = [
            *_imports((*self.imports, f"from transformers import {processor}")),
            "",
            f'directory = "{directory}"' + (f"  # {remark}" if remark else ""),
            f'inputs = {processor}.from_pretrained(directory{trusted})({example}{cut}return_tensors="{self.arrays}")',
            self.opening,
            f"logits = {self.logits}",
        ]
        return "\n".join([*lines, f"print({self.labels}[int(logits.argmax())])"] if self.labels else lines)


def model_usage(directory: Path) -> Usage | None:
    """Usage of a directory that `save` wrote, with transformers alone; None where it has no head for a task.

    Where no stock architecture expresses the model, transformers runs the code that lies in the directory.
    """
    config = read_config(directory)
    name = auto_class(config.get("architectures"))
    if name is None:
        return None
    trusted = "auto_map" in config
    return Usage(
        imports=(f"from transformers import {name}",),
        opening=f"model = {name}.from_pretrained(directory{TRUSTED if trusted else ''})",
        logits="model(**inputs).logits",
        labels=class_names(config, "model.config.id2label"),
        images="image_size" in config,
        trusted=trusted,
    )


def auto_class(architectures: Any) -> str | None:
    """`AutoModelForSequenceClassification` for `BertForSequenceClassification`; None for a model without a head."""
    first = architectures[0] if isinstance(architectures, list) and architectures else ""
    found = re.fullmatch(r"\w+?(For[A-Z]\w*)", str(first))
    return f"AutoModel{found.group(1)}" if found else None


def class_names(config: Mapping[str, Any], where: str) -> str:
    """`where`, if the model answers a row with one of several classes; else "".

    Args:
        config: of the model.
        where: expression for the mapping from classes to names.
    """
    name = auto_class(config.get("architectures")) or ""
    several = len(config.get("id2label") or (0, 1)) > 1 and config.get("problem_type") != "regression"
    by_row = name.endswith(("ForSequenceClassification", "ForImageClassification"))
    return where if several and by_row and config.get("problem_type") != "multi_label_classification" else ""


def _imports(lines: Iterable[str]) -> list[str]:
    """Sorted as formatters do: whole modules first, and one line for the names of one module."""
    names: dict[str, set[str]] = {}
    for line in lines:
        found = re.fullmatch(r"from (\S+) import (\w+)", line)
        names.setdefault(found.group(1) if found else line, set()).update([found.group(2)] if found else [])
    plain = sorted(line for line, found in names.items() if not found)
    return [
        *plain,
        *(f"from {home} import {', '.join(sorted(found))}" for home, found in sorted(names.items()) if found),
    ]
