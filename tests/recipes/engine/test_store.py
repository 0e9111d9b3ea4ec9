"""A run's directory: finished work is found by identity, half-finished work is not taken for it."""

from __future__ import annotations

import errno
import json
import shutil
from types import SimpleNamespace
from typing import Any

import pytest

from compress.core.errors import InputError, StageFailed
from recipes.engine.execute import find
from recipes.engine.folder import discard
from recipes.engine.store import Store, disk_errors, identity
from recipes.record import Cost
from recipes.stage_record import Named, StageRecord


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs" / "one")


def record(mark: str, **about: Any) -> StageRecord:
    named = {"id": "a", "stage": "prune", **about}
    return StageRecord(**named, settings={}, identity=mark, states=[], cost=Cost(seconds=1.0))


def finish(store: Store, name: str, mark: str) -> None:
    folder = store.folder(name)
    result = folder.begin(mark) / "result"
    result.mkdir()
    (result / "model.safetensors").write_text(mark)
    folder.finish(result, record(mark))


def test_identity_is_of_contents_and_not_of_their_order():
    assert identity(a=1, b=[2]) == identity(b=[2], a=1) != identity(a=1, b=[3])


def test_a_finished_stage_is_found_by_its_identity_only(store):
    finish(store, "01-a", "x")
    assert store.folder("01-a").finished("x") == record("x")
    assert store.folder("01-a").finished("y") is None
    assert not store.folder("01-a").partial.exists()


def test_an_interrupted_stage_keeps_its_work_while_its_identity_is_the_same(store):
    folder = store.folder("01-a")
    (folder.begin("x") / "checkpoint").write_text("half")
    assert (folder.begin("x") / "checkpoint").exists()
    assert not (folder.begin("y") / "checkpoint").exists()
    assert folder.finished("x") is None


def test_a_torn_stage_file_is_not_finished_work(store):
    finish(store, "01-a", "x")
    (store.folder("01-a").final / "stage.json").write_text('{"identity": "x"')
    assert store.folder("01-a").finished("x") is None


def test_another_runs_stage_is_adopted_without_its_measurement(store, tmp_path):
    finish(store, "01-a", "x")
    store.folder("01-a").keep_measurement({"identity": "m"})
    other = Store(tmp_path / "runs" / "two")
    found = other.elsewhere("x", leaf=False)
    assert found == store.folder("01-a").final
    other.folder("01-a").adopt(found)
    assert other.folder("01-a").finished("x") and other.folder("01-a").measured("m") is None


def test_a_stage_that_moved_to_another_place_in_the_recipe_is_found(store):
    finish(store, "01-a", "x")
    moved = store.folder("02-a")
    moved.adopt(store.elsewhere("x", leaf=False))
    assert moved.finished("x") and store.folder("01-a").finished("x")
    assert store.elsewhere("x", leaf=True) is None


def test_a_stage_found_under_another_name_has_the_name_of_this_recipe(store):
    finish(store, "01-a", "x")
    named = Named(id="b", stage="prune", start="source", seed=0)
    found = find(store.folder("02-b"), "x", store, leaf=False, named=named)
    assert found is not None and found.record == record("x", id="b", start="source", seed=0)
    assert store.folder("02-b").finished("x") == found.record
    assert store.folder("01-a").finished("x") == record("x")


def test_a_store_that_works_alone_takes_nothing_from_other_runs(store, tmp_path):
    finish(store, "01-a", "x")
    assert Store(tmp_path / "runs" / "two", alone=True).elsewhere("x", leaf=False) is None


def test_what_is_half_removed_is_not_finished_work(store, monkeypatch):
    with store.opened("one", "name: one\n", fresh=False):
        finish(store, "01-a", "x")
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # the process is killed here
    discard(store.folder("01-a").final)
    assert store.folder("01-a").finished("x") is None and store.elsewhere("x", leaf=False) is None
    monkeypatch.undo()
    (store.directory / ".report.json.123").touch()
    with store.opened("one", "name: one\n", fresh=False):
        assert list((store.directory / "stages").iterdir()) == []
    assert not (store.directory / ".report.json.123").exists()


def test_a_process_killed_at_its_first_file_leaves_a_directory_that_can_be_used(store):
    store.directory.mkdir(parents=True)
    (store.directory / ".lock").touch()
    (store.directory / ".recipe.yaml.4711").write_text("name: o")
    with store.opened("one", "name: one\n", fresh=False):
        assert (store.directory / "recipe.yaml").read_text() == "name: one\n"


def test_a_directory_that_cannot_be_made_is_one_message(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="cannot be used"),
        Store(tmp_path / "file" / "out").opened("a", "", fresh=False),
    ):
        raise RuntimeError("opened below a file")


def test_a_directory_with_an_empty_recipe_is_refused(store):
    store.directory.mkdir(parents=True)
    (store.directory / "recipe.yaml").touch()
    with pytest.raises(InputError, match="another recipe"), store.opened("one", "", fresh=False):
        raise RuntimeError("opened a stranger's directory")


def test_what_a_full_disk_refuses_is_one_message(tmp_path, monkeypatch):
    with pytest.raises(StageFailed, match="No space left"), disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StageFailed, match="No space left"), disk_errors(tmp_path):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "No such file")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(StageFailed, match="No space left"), disk_errors(tmp_path / "not" / "there"):
        raise RuntimeError("unexpected position 64")


def test_opening_writes_the_recipe_and_fresh_throws_away(store):
    with store.opened("one", "name: one\n", fresh=False):
        finish(store, "01-a", "x")
    with store.opened("one", "name: one\n", fresh=True):
        assert store.folder("01-a").finished("x") is None
    assert (store.directory / "recipe.yaml").read_text() == "name: one\n"


def test_a_directory_in_use_is_refused(store):
    again = Store(store.directory).opened("one", "name: one\n", fresh=False)
    with store.opened("one", "name: one\n", fresh=False), pytest.raises(InputError, match="another process"), again:
        raise RuntimeError("opened twice")


def test_foreign_directories_are_refused_and_left_alone(store, tmp_path):
    with store.opened("one", "name: one\n", fresh=False):
        pass
    with pytest.raises(InputError, match="another recipe, 'one'"), store.opened("two", "name: two\n", fresh=True):
        raise RuntimeError("opened another's run")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text(json.dumps("dear"))
    with pytest.raises(InputError, match="holds no run"), Store(mine).opened("one", "", fresh=True):
        raise RuntimeError("opened a stranger's directory")
    assert [path.name for path in mine.iterdir()] == ["letter.txt"]
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="is a file"), Store(file).opened("one", "", fresh=False):
        raise RuntimeError("opened a file")
