"""A checkpoint is resolved once, and what stands beside its weights is read once."""

from __future__ import annotations

import pytest

from compress.core.checkpoint import resolve
from compress.core.checkpoint.resolve import Checkpoint
from compress.core.checkpoint.save import load, load_source, save
from compress.core.errors import InputError
from tests.tiny import tiny_bundle


@pytest.mark.parametrize(
    "opened",
    [
        load,
        lambda directory: load_source(directory, head="sequence_classification", labels=None),
        lambda directory: load_source(directory, head="sequence_classification", labels=None, meta=True),
    ],
    ids=["saved", "for a task", "on the meta device"],
)
def test_config_and_record_are_read_once(tmp_path, monkeypatch, opened):
    save(tiny_bundle("bert"), tmp_path)
    read: list[str] = []
    for name in ("read_config", "read_record"):
        plain = getattr(resolve, name)
        monkeypatch.setattr(resolve, name, lambda path, plain=plain, name=name: (read.append(name), plain(path))[1])
    opened(tmp_path)
    assert sorted(read) == ["read_config", "read_record"]


def test_a_directory_without_a_configuration_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json"):
        Checkpoint.at(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="an adapter of PEFT"):
        Checkpoint.at(tmp_path)


@pytest.mark.parametrize("reference", ["x" * 300, "a\0b", "~nobody-here/model", "\udcff", __file__])
def test_paths_that_no_directory_can_have(reference):
    with pytest.raises(InputError):
        Checkpoint.at(reference)
