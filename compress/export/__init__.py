"""Exports for other runtimes: the model, its configuration and tokenizer, checked by loading them back."""

from compress.export.session import open_artifact

__all__ = ["open_artifact"]
