import math

import pytest
import yaml

from compress.core.errors import InputError, UnknownName
from recipes.file.yaml import BOOK, book, find, parse_value, read, read_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-5", 5e-5),
        ("5.0e-5", 5e-5),
        ("-1e3", -1000.0),
        (".5", 0.5),
        ("3", 3),
        ("-0", 0),
        ("+7", 7),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("Y", "Y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("0o7", "0o7"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1.2.3", "1.2.3"),
        ("1e", "1e"),
        ("'5'", "5"),
        ('"true"', "true"),
        (".inf", math.inf),
        ("[1, no, 2e-3]", [1, "no", 2e-3]),
        ("{step: 500}", {"step": 500}),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_a_value_is_what_it_looks_like(text, value):
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value)


def test_every_part_has_its_line():
    document = read_text("name: a\nstages:\n  - prune:\n      sparsity: 0.5\n  - {export: {id: b}}\n", file="r.yaml")
    assert document.data == {"name": "a", "stages": [{"prune": {"sparsity": 0.5}}, {"export": {"id": "b"}}]}
    assert document.locate(("stages", 0, "prune", "sparsity")) == ("r.yaml", 4)
    assert document.locate(("stages", 1, "export", "id")) == ("r.yaml", 5)
    assert document.locate(("stages", 0, "prune", "not", "there")) == ("r.yaml", 3)
    assert document.locate(()) == ("r.yaml", 1)
    assert document.holds(("stages", 0, "prune"))
    assert not document.holds(("stages", 2))


def test_a_duplicate_key_is_an_error_with_both_lines():
    with pytest.raises(InputError) as caught:
        read_text("a:\n  x: 1\n  y: 2\n  x: 3\n", file="r.yaml")
    assert "duplicate key 'x'" in str(caught.value)
    assert "r.yaml:4" in str(caught.value)
    assert "line 2" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: [1, 2", 1, "not YAML"),
        ("a: 1\n b: 2\n", 2, "not YAML"),
        ("a:\n\t- 1\n", 2, "not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "tags"),
        ("a: 1\nb: !!set {x}\n", 2, "tags"),
        ("a: &x 1\nb: *x\n", 1, "anchors"),
        ("? [1, 2]\n: 3\n", 1, "key"),
    ],
)
def test_what_is_no_recipe_names_its_line(text, line, says):
    with pytest.raises(InputError, match=says) as caught:
        read_text(text, file="r.yaml")
    assert f"r.yaml:{line}" in str(caught.value)


@pytest.mark.parametrize("is_json", [False, True])
@pytest.mark.parametrize("text", ["[" * 3_000, "[" * 100 + "]" * 100, '{"a":' * 9_000 + "1" + "}" * 9_000])
def test_a_flood_of_brackets_is_one_message(text, is_json):
    with pytest.raises(InputError, match=r"nested too deeply|not JSON"):
        read_text(text, is_json=is_json)


@pytest.mark.parametrize("digits", [30, 400, 5_000])
def test_a_number_that_no_setting_can_have_is_one_short_message(digits):
    with pytest.raises(InputError, match="at most 64 bits") as found:
        read_text("seed: " + "9" * digits, file="r.yaml")
    assert "r.yaml:1" in str(found.value) and len(str(found.value)) < 500


def test_a_file_that_is_too_large_for_a_recipe_is_not_read(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"a" * 2_000_000)
    with pytest.raises(InputError, match="too large"):
        read(tmp_path / "r.yaml")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5_000, "~\0/x"])
def test_a_name_that_no_file_can_have_is_one_message(name):
    with pytest.raises(InputError, match="cannot be a path"):
        find(name)


def test_json_reads_like_yaml(tmp_path):
    file = tmp_path / "r.json"
    file.write_text('{\n\t"name": "a",\n\t"rate": 5e-5,\n\t"smile": "\\ud83d\\ude00"\n}')
    document = read(file)
    assert document.data == {"name": "a", "rate": 5e-5, "smile": "\U0001f600"}
    assert document.locate(("rate",)) == (str(file), 3)


@pytest.mark.parametrize(("text", "says"), [('{"a": 1,\n}', "not JSON"), ('{"a": 1,\n "a": 2}', "duplicate key")])
def test_bad_json_names_its_line(tmp_path, text, says):
    file = tmp_path / "r.json"
    file.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read(file)
    assert f"{file}:2" in str(caught.value)


def test_a_file_that_is_no_text_is_one_message(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read(file)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: a\n")
    assert read(file).data == {"name": "a"}


def test_the_book_is_found_by_name():
    assert "quickstart" in book()
    assert find("quickstart") == BOOK / "quickstart.yaml"
    assert all(yaml.safe_load(file.read_text("utf-8"))["name"] for file in book().values())


def test_a_file_wins_over_the_book(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("name: mine\n")
    assert read(find("quickstart")).data == {"name": "mine"}


def test_a_recipe_that_is_not_there_names_the_near_one(tmp_path):
    with pytest.raises(UnknownName, match="quikstart") as caught:
        find("quikstart")
    assert "did you mean 'quickstart'?" in str(caught.value)
    with pytest.raises(InputError, match="directory"):
        find(tmp_path)
