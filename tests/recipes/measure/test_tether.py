"""A worker ends with its caller."""

import os
import subprocess
import sys

from recipes.measure.tether import tether

WORKER = "import sys, time; from recipes.measure.tether import end_with; end_with(int(sys.argv[1])); time.sleep(600)"


def worker(held: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(held)], pass_fds=(held,))


def test_a_worker_ends_when_its_caller_does():
    with tether() as held:
        process = worker(held)
    assert process.wait(timeout=300) != 0


def test_the_callers_end_stays_with_the_caller():
    with tether() as held:
        assert os.get_inheritable(held) is False
        assert subprocess.run([sys.executable, "-c", "pass"], pass_fds=(held,), check=False).returncode == 0
