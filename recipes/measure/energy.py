"""Energy of a block of work, where the `energy` extra is installed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from compress.core.extras import installed, optional

__all__ = ["Energy", "energy"]


@dataclass
class Energy:
    """`kwh` is filled when the `with` block ends; None where codecarbon is not installed or could not tell.

    The CPU's share is read from its counters where they are readable, and estimated from its nominal power otherwise.
    """

    kwh: float | None = None


@contextmanager
def energy() -> Iterator[Energy]:
    """Measure the energy of a block of work in kWh. Nothing leaves the machine and no file is written."""
    used = Energy()
    if not installed("codecarbon"):
        yield used
        return
    codecarbon = optional("codecarbon", extra="energy", purpose="measuring energy")
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    # The country only turns energy into emissions, which are not reported; the offline tracker asks for one.
    tracker = codecarbon.OfflineEmissionsTracker(
        country_iso_code="DEU", save_to_file=False, log_level="critical", allow_multiple_runs=True
    )
    tracker.start()
    try:
        yield used
    finally:
        tracker.stop()
        # Where codecarbon fails it says so in its log alone, and has no data.
        found = getattr(tracker, "final_emissions_data", None)
        used.kwh = None if found is None else float(found.energy_consumed)
