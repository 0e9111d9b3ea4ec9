"""The words of the states."""

import pytest

from compress.core.model.state import STATES, WORDS, known_states, obstacles


def test_every_state_has_words_and_no_other_has():
    assert tuple(WORDS) == STATES
    assert all(word and not word.endswith(".") for words in WORDS.values() for word in words)


def test_the_mends_are_stages_that_there_are():
    from recipes.file.catalogue import sets

    stages = set(sets()["stages"].members())
    named = {part for words in WORDS.values() for text in words for part in text.split("`")[1::2]} - {"base"}
    assert named and named <= stages


@pytest.mark.parametrize("state", STATES)
def test_what_is_in_the_way_and_what_is_missing_say_what_to_do(state):
    assert not list(obstacles({state}, needs={state})) and not list(obstacles((), forbids={state}))
    assert list(obstacles({state}, forbids={state})) == [f"{WORDS[state].holds}; {WORDS[state].remove}"]
    other = {state: "leave it"}
    assert list(obstacles((), needs={state}, otherwise=other)) == [
        f"{WORDS[state].lacks}; {WORDS[state].bring}, or leave it"
    ]


def test_states_of_an_earlier_version_are_left_out():
    assert known_states(["masked", "fake_quantized"]) == {"masked"}
