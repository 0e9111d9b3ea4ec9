"""What reaches a terminal."""

from compress.core.errors import InputError, listed, shown


def test_a_message_shows_little_of_the_data_and_no_control_characters() -> None:
    error = InputError(f"no column {'x' * 9000}\x1b[2J", where="a\tb", given=["y"] * 9000, advice="line\n  line")
    text = str(error)
    assert len(text) < 1500
    assert "\x1b" not in text
    assert text.startswith("a\\tb: no column xxx")
    assert text.endswith("\\x1b[2J\n  given: " + shown(["y"] * 9000, 300) + "\n  to do: line\n  line")


def test_a_list_of_names_says_how_many_there_are() -> None:
    assert listed(range(25)).endswith("18, 19, ... (25 in all)")
    assert listed(["a", "b" * 99]) == f"a, {'b' * 17} ... {'b' * 17}"
