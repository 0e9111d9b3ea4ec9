"""Model card of an export: what it is, how to call it, and how it was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from compress.core.checkpoint.resolve import read_config
from compress.core.checkpoint.usage import Usage, class_names
from compress.export.session import format_of, read_manifest

__all__ = ["CARD", "RANGES_PER_CALL", "card", "export_usage"]

CARD = "README.md"
RANGES_PER_CALL = (
    "Int8 takes the range of its activations from the whole batch in each call, so an answer can depend on the rows "
    "beside it and on their padding; call it with batches like those that it was measured with, or one row at a time"
)


def export_usage(directory: Path) -> Usage:
    """Usage of an exported directory in its runtime, with its tokenizer by transformers.

    Raises:
        InputError: there is no export.
        UnknownName: its format is not known.
    """
    manifest = read_manifest(directory)
    found = format_of(manifest, directory).usage(manifest)
    labels = class_names(_config(directory), "AutoConfig.from_pretrained(directory).id2label")
    imports = (*found.imports, "from transformers import AutoConfig") if labels else found.imports
    return replace(found, imports=imports, labels=labels, images="pixel_values" in manifest["inputs"])


def card(directory: Path, facts: Mapping[str, Any]) -> str:
    """Text of the card, in Markdown.

    Args:
        directory: of the export, with its manifest and configuration.
        facts: the manifest with what the parity check found.
    """
    manifest, config = read_manifest(directory), _config(directory)
    code = export_usage(directory).code(".", remark="this directory")
    parts = [
        f"# {manifest['model_type']}, {manifest['format']} {manifest['precision']}",
        f"Runs in {manifest['runtime']}. {_labels(config)}".rstrip(),
        f"```python\n{code}\n```",
        f"Checked against PyTorch on {facts['rows_compared']:,} rows: the same prediction on "
        f"{facts['agreement_with_pytorch']:.2%}, the largest difference of a logit "
        f"{facts['largest_logit_difference']:.2g}.",
        *([f"{RANGES_PER_CALL}."] if format_of(manifest, directory).ranges_per_call(manifest) else []),
    ]
    return "\n\n".join(parts) + "\n"


def _config(directory: Path) -> dict[str, Any]:
    return read_config(directory) if (directory / "config.json").is_file() else {}


def _labels(config: Mapping[str, Any]) -> str:
    names = [str(name) for name in (config.get("id2label") or {}).values()]
    if len(names) < 2 or not class_names(config, "there"):
        return ""
    more = f", ... ({len(names)} in all)" if len(names) > 20 else ""
    return f"Labels: {', '.join(names[:20])}{more}."
