import re

from recipes.report.pictures import pictures


def squares(svg: str, kind: str) -> int:
    return sum(path.count("M") for path in re.findall(rf'class="{kind}"[^>]* d="([^"]*)"', svg))


def test_each_head_has_a_cell() -> None:
    (drawn,) = pictures({"heads": {"kept": [[0, 3], [1], []], "of": 4}})
    assert drawn.exact
    assert squares(drawn.svg, "kept") == 3
    assert squares(drawn.svg, "cut") == 9
    assert "layer 0 keeps 2 of 4; layer 1 keeps 1 of 4; layer 2 keeps 0 of 4" in drawn.svg


def test_layers_are_one_line_with_numbers() -> None:
    (drawn,) = pictures({"layers": {"kept": [0, 2, 5], "of": 6}})
    assert (squares(drawn.svg, "kept"), squares(drawn.svg, "cut")) == (3, 3)
    assert "layers: 3 of 6 kept (0, 2, 5)" in drawn.svg


def test_many_neurons_become_a_small_strip() -> None:
    (drawn,) = pictures({"neurons": {"kept": [list(range(0, 3072, 2)), list(range(100))], "of": 3072}})
    assert not drawn.exact
    assert len(drawn.svg) < 5000
    assert "1,536 of 3,072" in drawn.svg


def test_layers_may_differ_in_width() -> None:
    (drawn,) = pictures({"heads": {"kept": [[0], [0, 1]], "of": [2, 3]}})
    assert (squares(drawn.svg, "kept"), squares(drawn.svg, "cut")) == (3, 2)


def test_what_is_no_list_of_kept_units_is_left_to_the_facts() -> None:
    assert pictures({"ranks": [64, 32], "heads": {"kept": "all"}, "bits": {"kept": [["<b>"]], "of": 2}, "x": 3}) == []


def test_a_part_s_name_is_escaped() -> None:
    (drawn,) = pictures({"<script>": {"kept": [0], "of": 2}})
    assert "<script>" not in drawn.svg
