import pytest

from recipes.report import units


@pytest.mark.parametrize(
    ("value", "shown"),
    [(15_630_000, "15.6 MB"), (90_870_000, "90.9 MB"), (712_000, "712 kB"), (8.323e9, "8.32 GB"), (12, "12 B")],
)
def test_bytes_are_decimal(value: float, shown: str) -> None:
    assert units.bytes_(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0163, "16.3 ms"), (0.00062, "620 µs"), (2.41, "2.41 s"), (97.4, "1 min 37 s"), (59.96, "1 min 00 s"),
        (3720, "1 h 02 min"), (0.9999, "1.00 s"), (0, "0 ms"),
    ],
)  # fmt: skip
def test_seconds(value: float, shown: str) -> None:
    assert units.seconds(value) == shown


def test_ratios_and_counts() -> None:
    assert [units.ratio(x) for x in (8.14, 1.0, 0.623, 12.34, 133.2)] == ["8.1×", "1.0×", "0.62×", "12.3×", "133×"]
    assert [units.count(x) for x in (22_713_986, 14_208, 0)] == ["22.7 M", "14,208", "0"]
    assert units.flops(2.75e9) == "2.75 GFLOP"


def test_a_share_is_in_percent_and_its_difference_in_points() -> None:
    assert units.score("accuracy", 0.9034) == "90.3 %"
    assert units.difference("accuracy", -0.006) == "−0.6 pp"
    assert units.difference("accuracy", 0.0001) == "0.0 pp"


def test_other_metrics_keep_their_scale() -> None:
    assert units.score("matthews", 0.8124) == "0.812"
    assert units.difference("matthews", 0.0124) == "+0.012"


def test_probabilities() -> None:
    assert [units.probability(p) for p in (0.0004, 0.0213, 0.21)] == ["p < 0.001", "p = 0.021", "p = 0.21"]


@pytest.mark.parametrize(
    ("limits", "p_value", "shown"),
    [((-0.02, -0.01), 0.01, True), ((-0.02, 0.01), 0.01, False), ((-0.02, -0.01), 0.2, False), (None, 0.01, False)],
)
def test_a_difference_is_shown_only_outside_its_interval(limits: tuple | None, p_value: float, shown: bool) -> None:
    assert units.is_shown(limits, 0.0, p_value) is shown


def test_a_rise_is_no_negative_drop() -> None:
    assert units.drop("accuracy", 0.004) == "0.4 pp" and units.drop("accuracy", -0.004) == "a gain of 0.4 pp"
    assert units.drop("accuracy", -0.0001) == units.drop("accuracy", 0.0) == "0.0 pp"
    assert units.drop("matthews", 0.02) == "0.020" and units.drop("matthews", -0.02) == "a gain of 0.020"


def test_things_are_counted_in_singular_and_plural() -> None:
    assert [units.counted(number, "thread") for number in (0, 1, 2, 1000)] == [
        "0 threads", "1 thread", "2 threads", "1,000 threads",
    ]  # fmt: skip
