"""Optional packages, imported where they are used, with one clear error where they are missing."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from compress.core.errors import MissingPackage

__all__ = ["installed", "optional"]


def installed(package: str) -> bool:
    """Whether `package` can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def optional(package: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Args:
        package: a module's name.
        extra: of trimformer that installs it; empty where there is none.
        purpose: what needs it, the subject of the error's sentence.

    Raises:
        MissingPackage: it is not installed; with the pip command.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package.split(".")[0]:
            raise
        raise MissingPackage(package, extra, purpose=purpose) from error
