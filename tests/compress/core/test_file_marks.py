"""Marks of files: what was written into since is found, and a copy is as good as what it was made from."""

from __future__ import annotations

import os
import shutil

import pytest

from compress.core.file_marks import SMALL, damaged_files, marks_of, renewed_marks


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "large").write_bytes(bytes(SMALL + 1))
    (tmp_path / "small").write_bytes(b"abc")
    return tmp_path


def test_what_is_as_written_is_whole(directory):
    marks = marks_of(directory, leave=("small",))
    assert list(marks) == ["inner/large"] and damaged_files(directory, marks, whole=True) == []


@pytest.mark.parametrize("change", [b"", b"abd", b"abcd", None])
def test_another_size_other_bits_and_a_file_that_is_gone_are_damage(directory, change):
    marks = marks_of(directory)
    (directory / "small").unlink() if change is None else (directory / "small").write_bytes(change)
    assert damaged_files(directory, marks, whole=False) == ["small"]


def test_another_time_alone_is_no_damage_and_is_marked_anew(directory, tmp_path_factory):
    marks, copy = marks_of(directory), tmp_path_factory.mktemp("copy") / "copy"
    shutil.copytree(directory, copy, copy_function=shutil.copyfile)
    os.utime(copy / "inner" / "large", ns=(1, 1))
    assert damaged_files(copy, marks, whole=False) == []
    assert renewed_marks(copy, marks)["inner/large"].changed == 1 and renewed_marks(directory, marks) == marks


def test_what_has_no_end_is_not_read(directory):
    nothing = marks_of(directory)["small"].model_copy(update={"bytes": 0})
    assert damaged_files(directory, {"/dev/zero": nothing, "inner": nothing}, whole=True) == ["/dev/zero", "inner"]
