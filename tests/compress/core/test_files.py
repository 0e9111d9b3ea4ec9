"""What is written is there as a whole, or the old is."""

import pytest

from compress.core.files import write_whole, written_whole


def test_an_error_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "new" / "report.json"
    write_whole(path, "old\n")
    with pytest.raises(ZeroDivisionError), written_whole(path) as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old\n"
    write_whole(path, "new\n")
    assert path.read_bytes() == b"new\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "rows"
    with pytest.raises(ZeroDivisionError), written_whole(path) as beside:
        beside.mkdir()
        (beside / "part").touch()
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with written_whole(path) as beside:
        beside.mkdir()
        (beside / "part").touch()
        assert not path.exists()
    assert [each.name for each in path.iterdir()] == ["part"]
