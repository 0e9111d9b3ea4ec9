"""Exports for other runtimes: a directory with the model, its configuration and tokenizer, checked by loading it back."""

from compress.export.session import open_artifact

__all__ = ["open_artifact"]
