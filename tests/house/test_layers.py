"""The order of the rooms, as pyproject.toml writes it down for import-linter."""

from __future__ import annotations

import shutil
import subprocess


def test_rooms_import_one_way():
    """In a process of its own: import-linter configures logging, and silences every logger that is there already."""
    command = shutil.which("lint-imports")
    assert command, "import-linter is not installed: pip install -e '.[test]'"
    done = subprocess.run([command, "--no-cache"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
