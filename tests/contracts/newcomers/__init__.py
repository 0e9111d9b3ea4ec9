"""One new member of every set, each ONE new file in a folder that is called as the package it is for.

A test puts copies of these folders on the packages' paths in a fresh process, so that they are found as files of the
packages would be. What they need beside their own file is a defect of the house.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["HERE", "environment"]

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
INSTALL = '''"""Every process that starts with this folder on its path finds the newcomers."""

import importlib
from pathlib import Path

for folder in Path(__file__).parent.iterdir():
    if folder.is_dir() and folder.name != "__pycache__":
        importlib.import_module(folder.name).__path__.append(str(folder))
'''


def environment(folder: Path) -> dict[str, str]:
    """The variables of a process, and of all that it starts, that finds copies of the newcomers in `folder`."""
    for home in HERE.iterdir():
        if home.is_dir() and home.name != "__pycache__":
            shutil.copytree(home, folder / home.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "sitecustomize.py").write_text(INSTALL)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
