"""A run's directory: finished work is found by identity, half-finished work is not taken for it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compress.core.errors import InputError, StageFailed
from recipes.engine.execute import Work
from recipes.engine.folder import discard
from recipes.engine.reuse import find
from recipes.engine.store import Store, disk_errors, identity
from recipes.record import Cost
from recipes.stage_record import Named, StageRecord


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs" / "one")


def record(mark: str, **about: Any) -> StageRecord:
    named = {"id": "a", "stage": "prune", **about}
    return StageRecord(**named, settings={}, identity=mark, states=[], cost=Cost(seconds=1.0))


def work(named: Named, **about: Any) -> Work:
    return Work(named, None, lambda: pytest.fail("opened"), **about)


def without_files(found: StageRecord | None) -> StageRecord | None:
    return found and found.model_copy(update={"files": None})


def elsewhere(store: Store, mark: str, *, leaf: bool = False) -> Path | None:
    return next((path for path, found in store.elsewhere(mark, leaf=leaf) if found.record), None)


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
    assert without_files(store.folder("01-a").finished("x").record) == record("x")
    assert store.folder("01-a").finished("y").record is None
    assert not store.folder("01-a").partial.exists()


def test_an_interrupted_stage_keeps_its_work_while_its_identity_is_the_same(store):
    folder = store.folder("01-a")
    (folder.begin("x") / "checkpoint").write_text("half")
    assert (folder.begin("x") / "checkpoint").exists()
    assert not (folder.begin("y") / "checkpoint").exists()
    assert folder.finished("x").record is None


def test_a_torn_stage_file_is_not_finished_work(store):
    finish(store, "01-a", "x")
    (store.folder("01-a").final / "stage.json").write_text('{"identity": "x"')
    assert store.folder("01-a").finished("x").record is None


def test_another_runs_stage_is_adopted_without_its_measurement(store, tmp_path):
    finish(store, "01-a", "x")
    store.folder("01-a").keep_measurement({"identity": "m"})
    other = Store(tmp_path / "runs" / "two")
    found = elsewhere(other, "x")
    assert found == store.folder("01-a").final
    other.folder("01-a").adopt(found, record("x"))
    assert other.folder("01-a").finished("x").record and other.folder("01-a").measured("m") is None


def test_a_stage_that_moved_to_another_place_in_the_recipe_is_found(store):
    finish(store, "01-a", "x")
    moved = store.folder("02-a")
    moved.adopt(elsewhere(store, "x"), record("x"))
    assert moved.finished("x").record and store.folder("01-a").finished("x").record
    assert elsewhere(store, "x", leaf=True) is None


def test_a_stage_found_under_another_name_has_the_name_of_this_recipe(store):
    finish(store, "01-a", "x")
    named = Named(id="b", stage="prune", start="source", seed=0)
    found = find(store.folder("02-b"), "x", store, work=work(named))
    assert found is not None and without_files(found.record) == record("x", id="b", start="source", seed=0)
    assert store.folder("02-b").finished("x").record == found.record
    assert without_files(store.folder("01-a").finished("x").record) == record("x")


def test_a_store_that_works_alone_takes_nothing_from_other_runs(store, tmp_path):
    finish(store, "01-a", "x")
    assert elsewhere(Store(tmp_path / "runs" / "two", alone=True), "x") is None


def test_what_is_half_removed_is_not_finished_work(store, monkeypatch):
    with store.opened("one", "name: one\n", fresh=False):
        finish(store, "01-a", "x")
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # the process is killed here
    discard(store.folder("01-a").final)
    assert store.folder("01-a").finished("x").record is None and elsewhere(store, "x") is None
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


NAMED = Named(id="a", stage="prune")


def flip(file: Path, *, time_kept: bool = False) -> None:
    before, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    if time_kept:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", ["model.safetensors", "stage.json"])
def test_a_flipped_bit_is_found_and_said(store, name):
    finish(store, "01-a", "x")
    flip(store.folder("01-a").final / name)
    said: list[str] = []
    assert find(store.folder("01-a"), "x", store, work=work(NAMED), say=said.append) is None
    assert len(said) == 1 and name in said[0]


def test_large_files_of_the_same_size_and_time_are_hashed_on_demand(store):
    folder = store.folder("01-a")
    result = folder.begin("x") / "result"
    result.mkdir()
    (result / "model.safetensors").write_bytes(bytes(100_000))
    folder.finish(result, record("x"))
    flip(folder.final / "model.safetensors", time_kept=True)
    assert folder.finished("x").record is not None
    assert folder.finished("x", whole=True).damaged == ("model.safetensors",)


def test_a_copied_run_is_a_good_run_and_keeps_its_new_times(store):
    finish(store, "01-a", "x")
    file = store.folder("01-a").final / "model.safetensors"
    os.utime(file, ns=(0, 0))
    assert store.folder("01-a").finished("x").record.files["model.safetensors"].changed == 0
    assert StageRecord.read(file.with_name("stage.json")).files["model.safetensors"].changed == 0


def test_a_damaged_neighbour_is_not_taken(store, tmp_path):
    finish(store, "01-a", "x")
    flip(store.folder("01-a").final / "model.safetensors", time_kept=True)
    other, said = Store(tmp_path / "runs" / "two"), []
    assert find(other.folder("01-a"), "x", other, work=work(NAMED), say=said.append) is None
    assert "it is not taken from there" in said[0] and not other.folder("01-a").final.exists()


def test_a_stage_of_an_older_version_is_marked_when_it_is_found(store):
    finish(store, "01-a", "x")
    folder = store.folder("01-a")
    plain = {**record("x").model_dump(mode="json")}
    del plain["files"], plain["made_from"]
    (folder.final / "stage.json").write_text(json.dumps(plain))
    assert folder.finished("x").record.files.keys() == {"model.safetensors"}
    (folder.final / "config.json").write_text("{}")
    (folder.final / "stage.json").write_text(json.dumps(plain))
    (folder.final / "measurement.json").write_text(json.dumps({"identity": "m", "outcome": {"sha256": "another"}}))
    assert folder.finished("x").damaged == ("the model",)


def test_a_stage_made_from_other_weights_is_made_again(store):
    folder = store.folder("01-a")
    result = folder.begin("x") / "result"
    result.mkdir()
    folder.finish(result, record("x", made_from={"start": "w"}))
    same, other = ({"stands_on": {"start": weights}} for weights in ("w", "v"))
    assert find(folder, "x", store, work=work(NAMED, **same)) is not None
    assert find(folder, "x", store, work=work(NAMED, **other)) is None


def test_a_measurement_counts_while_its_answers_are_as_written(store):
    finish(store, "01-a", "x")
    folder = store.folder("01-a")
    (folder.final / "logits.npz").write_bytes(b"answers")
    folder.keep_measurement({"identity": "m", "outcome": {}})
    assert folder.measured("m") and folder.measured("n") is None
    flip(folder.final / "measurement.json")
    assert folder.measured("m") is None
    folder.keep_measurement({"identity": "m", "outcome": {}})
    (folder.final / "logits.npz").unlink()
    assert folder.measured("m") is None and folder.finished("x").record is not None


@pytest.mark.parametrize("files", [[1], 1, {"logits.npz": 1}, {"logits.npz": {"bytes": "x"}}])
def test_a_measurement_of_other_types_does_not_count(store, files):
    finish(store, "01-a", "x")
    told = {"identity": "m", "outcome": {}, "files": files}
    (store.folder("01-a").final / "measurement.json").write_text(json.dumps(told))
    assert store.folder("01-a").measured("m") is None


def test_a_directory_where_a_file_is_written_is_one_message(store):
    with store.opened("one", "name: one\n", fresh=False):
        (store.directory / "log.txt").mkdir()
    with (
        pytest.raises(InputError, match=r"a directory is where the run writes log\.txt"),
        store.opened("one", "name: one\n", fresh=False),
    ):
        raise RuntimeError("opened")


def test_opening_writes_the_recipe_and_fresh_throws_away(store):
    with store.opened("one", "name: one\n", fresh=False):
        finish(store, "01-a", "x")
    with store.opened("one", "name: one\n", fresh=True):
        assert store.folder("01-a").finished("x").record is None
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
