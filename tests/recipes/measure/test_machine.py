"""Memory, environment, energy."""

import gc
import sys
import types
from mmap import mmap

import numpy as np
import pytest

from recipes.measure import energy as energy_module
from recipes.measure import memory
from recipes.measure.energy import energy
from recipes.measure.environment import environment, instructions
from recipes.measure.memory import peak_memory, resident_bytes


def _work(megabytes):
    return np.ones(megabytes * 125_000)


def test_peak_memory_sees_what_was_freed_again():
    with peak_memory("cpu") as peak:
        _work(120)
    assert 100e6 < peak.bytes - peak.before < 200e6
    assert peak.before > 10e6


def test_peak_memory_forgets_what_was_before():
    _work(200)
    with peak_memory() as peak:
        _work(50)
    assert peak.bytes - peak.before < 120e6


def test_where_the_mark_cannot_be_reset_it_is_sampled_and_said(monkeypatch):
    monkeypatch.setattr(memory, "_can_reset", lambda: False)
    gc.collect()  # what earlier tests left would be given back meanwhile
    with peak_memory("cpu") as peak:
        kept = _work(400)
        __import__("time").sleep(0.05)
    assert kept[0] == 1
    assert peak.bytes - peak.before > 200e6
    assert "sampled" in peak.notes[0]


def test_peak_memory_is_filled_when_the_work_fails():
    with pytest.raises(ZeroDivisionError), peak_memory() as peak:
        kept = _work(400)  # more than earlier tests may have left to this process
        raise ZeroDivisionError(len(kept))
    assert peak.bytes > peak.before


def test_resident_bytes_grow_with_what_is_kept():
    before = resident_bytes()
    # Pages of its own: an array may get what earlier tests gave back, which is resident already.
    with mmap(-1, 50_000_000) as kept:
        kept.write(bytes(50_000_000))
        assert resident_bytes() - before > 40e6


def test_environment_is_plain_and_complete():
    found = environment()
    assert {"cpu", "instructions", "threads", "memory_bytes", "gpu", "system", "python", "versions"} <= set(found)
    assert found["threads"] >= 1
    assert found["memory_bytes"] > 1e8
    assert {"torch", "transformers", "numpy"} <= set(found["versions"])


def test_instruction_sets_are_named_from_the_flags():
    assert instructions({"avx2", "avx512f", "avx512_vnni", "sse4_2"}) == ["AVX2", "AVX-512", "VNNI"]
    assert instructions({"avx_vnni", "amx_tile", "amx_int8"}) == ["VNNI", "AMX", "AMX-INT8"]
    assert instructions(set()) == []


def test_energy_is_none_without_its_package(monkeypatch):
    monkeypatch.setattr(energy_module, "installed", lambda package: False)
    with energy() as used:
        pass
    assert used.kwh is None


def test_energy_is_that_of_the_tracker(monkeypatch):
    class Tracker:
        final_emissions_data = types.SimpleNamespace(energy_consumed=0.25)

        def __init__(self, **options):
            assert options["save_to_file"] is False

        def start(self): ...

        def stop(self): ...

    monkeypatch.setattr(energy_module, "installed", lambda package: True)
    monkeypatch.setitem(sys.modules, "codecarbon", types.SimpleNamespace(OfflineEmissionsTracker=Tracker))
    with energy() as used:
        pass
    assert used.kwh == 0.25
