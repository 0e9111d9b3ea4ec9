"""A run's directory: finished work is found by identity, half-finished work is not taken for it."""

from __future__ import annotations

import json

import pytest

from compress.core.errors import InputError
from recipes.store import Store, identity


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs" / "one")


def finish(store: Store, name: str, mark: str) -> None:
    folder = store.folder(name)
    result = folder.begin(mark) / "result"
    result.mkdir()
    (result / "model.safetensors").write_text(mark)
    folder.finish(result, {"identity": mark})


def test_identity_is_of_contents_and_not_of_their_order():
    assert identity(a=1, b=[2]) == identity(b=[2], a=1) != identity(a=1, b=[3])


def test_a_finished_stage_is_found_by_its_identity_only(store):
    finish(store, "01-a", "x")
    assert store.folder("01-a").finished("x") == {"identity": "x"}
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
    assert found == store.folder("01-a").final and store.elsewhere("x", leaf=False) is None
    other.folder("01-a").adopt(found)
    assert other.folder("01-a").finished("x") and other.folder("01-a").measured("m") is None


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
