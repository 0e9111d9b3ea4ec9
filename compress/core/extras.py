"""Packages that not everyone needs, imported where they are used and missed with one clear message."""

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
    """The module `package`, or `MissingPackage` with the pip command for `extra`."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package.split(".")[0]:
            raise
        raise MissingPackage(package, extra, purpose=purpose) from error
