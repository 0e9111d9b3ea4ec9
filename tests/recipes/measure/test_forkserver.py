"""The processes that measure are forked from one server, each fresh, and end with their caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from recipes.measure import forkserver
from recipes.measure.forkserver import ForkServer, environment
from recipes.measure.job import FAILED, Job

pytestmark = pytest.mark.xdist_group("forkserver")

CALLER = """
import sys
from pathlib import Path
from recipes.measure.forkserver import run_job

run_job(Path(sys.argv[1]), threads=1)
"""


INTERRUPTED = """
import signal, sys
from pathlib import Path
from recipes.measure import forkserver

class Asked(BaseException):
    pass

def ask(number, frame):
    raise Asked

signal.signal(signal.SIGTERM, ask)
signal.signal(signal.SIGINT, signal.default_int_handler)
first = forkserver._server(1)
try:
    first.run(Path(sys.argv[1]))
except (KeyboardInterrupt, Asked):
    pass
else:
    sys.exit("the job ended by itself")
if not first.closed or first.process.poll() is None:
    sys.exit("the server is still there")
ended = forkserver.run_job(Path(sys.argv[2]), threads=1)
sys.exit(0 if ended.status == 3 else f"the next job ended with {ended.status}: {ended.said}")
"""


@pytest.fixture
def server() -> ForkServer:
    """The one of this process, which imports once for all tests."""
    return forkserver._server(1)


@pytest.fixture
def endless(tmp_path) -> Path:
    """The file of a job that waits for ever: nobody writes into it."""
    os.mkfifo(tmp_path / "job.json")
    return tmp_path / "job.json"


def empty_job(directory: Path) -> Path:
    """A job that fails in the worker's own words: there is no model."""
    file = directory / "job.json"
    file.write_text(Job(directory=directory, threads=1).model_dump_json())
    return file


def only_child(process: psutil.Process) -> psutil.Process:
    until = time.monotonic() + 120
    while not process.children():
        assert time.monotonic() < until
        time.sleep(0.05)
    return process.children()[0]


def gone(process: psutil.Process) -> bool:
    until = time.monotonic() + 60
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.slow
def test_jobs_come_from_one_process(server, tmp_path):
    assert server.run(empty_job(tmp_path)).status == FAILED
    (tmp_path / "failure.json").unlink()
    assert server.run(empty_job(tmp_path)).status == FAILED and (tmp_path / "failure.json").exists()
    assert not server.closed


def test_the_server_computes_nothing(server):
    """Threads of OpenMP or of a runtime would not be there in a fork; one is the allocator's of pyarrow, which may."""
    process = psutil.Process(server.process.pid)
    libraries = {Path(mapped.path).name for mapped in process.memory_maps()}
    assert process.num_threads() <= 2
    assert not [name for name in libraries if "onnxruntime" in name or "openvino" in name or "bitsandbytes" in name]


@pytest.mark.slow
def test_what_a_job_says_is_its_own(server, tmp_path):
    ended = server.run(tmp_path / "none.json")
    assert ended.status == 1 and "FileNotFoundError" in ended.said


@pytest.mark.slow
def test_a_job_that_is_killed_says_so(server, endless):
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.run, endless)
        only_child(psutil.Process(server.process.pid)).kill()
        assert waiting.result().status == -signal.SIGKILL
    assert not server.closed


@pytest.mark.slow
def test_a_server_that_is_killed_takes_its_job_along(endless):
    server = ForkServer(1)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.run, endless)
        job = only_child(psutil.Process(server.process.pid))
        server.process.kill()
        assert waiting.result().status == -signal.SIGKILL
    assert server.closed and gone(job)


@pytest.mark.slow
def test_server_and_job_end_with_a_caller_that_is_killed(endless):
    process = subprocess.Popen([sys.executable, "-c", CALLER, str(endless)])
    caller = psutil.Process(process.pid)
    server = only_child(caller)
    job = only_child(server)
    process.kill()
    process.wait()
    assert gone(job) and gone(server)


def test_the_server_does_not_inherit_a_launcher_s_variables(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    found = environment(2)
    assert "RANK" not in found
    assert found["OMP_NUM_THREADS"] == "2"
    root, rest = found["PYTHONPATH"].split(os.pathsep)
    assert rest == "/somewhere" and (Path(root) / "recipes").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_call_that_is_interrupted_leaves_nothing_behind(endless, tmp_path, sent):
    """In a process of its own, which handles SIGTERM as the command does; then a second job has a server of its own."""
    (tmp_path / "next").mkdir()
    command = [sys.executable, "-c", INTERRUPTED, str(endless), str(empty_job(tmp_path / "next"))]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            server = only_child(psutil.Process(process.pid))
            job = only_child(server)
            process.send_signal(sent)
            assert gone(job) and gone(server)
            assert process.wait(timeout=120) == 0  # what is wrong stands on its stderr
        finally:
            process.kill()
    assert (tmp_path / "next" / "failure.json").exists()
