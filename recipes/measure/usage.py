"""Usage example of a row: the lines that open what lies in its directory, whatever it was saved as."""

from __future__ import annotations

from pathlib import Path

__all__ = ["usage_code"]


def usage_code(directory: Path, *, shown: str, remark: str = "") -> str:
    """Lines to copy: of an export in its runtime, of a delta by PEFT, of a model by transformers; "" without a head.

    Args:
        directory: of a saved model, a delta or an export.
        shown: its name in the lines.
        remark: what that name is relative to.
    """
    from compress.core.checkpoint.usage import model_usage
    from compress.export.card import export_usage
    from finetune.delta.record import is_delta
    from finetune.delta.usage import delta_usage
    from recipes.measure.runners import is_export

    found = (export_usage if is_export(directory) else delta_usage if is_delta(directory) else model_usage)(directory)
    return found.code(shown, remark=remark) if found else ""
