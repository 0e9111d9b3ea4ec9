"""One thread for the runtimes: tests run beside one another."""

from __future__ import annotations

import pytest

from compress.export import session


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "available_threads", lambda: 1)
