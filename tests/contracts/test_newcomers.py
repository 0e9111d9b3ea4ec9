"""A new member of any set is one new file: listed, in the schema, checked, run, and held by the contracts."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from recipes.file.catalogue import sets
from tests.contracts.newcomers import HERE, ROOT, environment

CONTRACTS = tuple(str(HERE.parent / f"test_{name}.py") for name in ("members", "stages", "choices"))


def pytest_in_a_fresh_process(folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = ("-n0", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(folder), capture_output=True, text=True, timeout=900, check=False
    )


@pytest.mark.slow
def test_a_new_member_is_one_new_file(tmp_path):
    done = pytest_in_a_fresh_process(tmp_path, str(HERE / "held.py"), "-k", "not runs")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_new_members_hold_the_contracts_and_run(tmp_path):
    every = ("-k", "newcomer", "-m", "not gpu and not network")
    done = pytest_in_a_fresh_process(tmp_path, str(HERE / "held.py"), *CONTRACTS, *every)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    counts = [int(number) for number in re.findall(r"(\d+) passed", done.stdout)]
    assert counts and counts[0] > len(sets()), "the contracts were not tried on every newcomer"
