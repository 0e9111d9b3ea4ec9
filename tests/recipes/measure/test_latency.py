from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from compress.core.errors import InputError, UnknownName
from recipes.measure import runners
from recipes.measure.inputs import batches, random_batch
from recipes.measure.probe import Bench, Probe
from recipes.measure.probes import interleaved as latency
from recipes.measure.probes.interleaved import interleaved, speed
from recipes.measure.probes.latency import Latency
from recipes.measure.runners import Model, Opponents, opponents


class Clock:
    """Time that passes in sleep, and a microsecond at each look, so that a busy machine changes no result."""

    now = 0.0

    def perf_counter(self):
        self.now += 1e-6
        return self.now

    def sleep(self, seconds):
        self.now += seconds


CLOCK = Clock()


@pytest.fixture(autouse=True)
def still_time(monkeypatch):
    monkeypatch.setattr(latency, "time", CLOCK)


class Tokenizer:
    all_special_ids = [0, 1, 2, 3]
    cls_token_id, sep_token_id, eos_token_id = 2, 3, None
    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    model_max_length = 64

    def __len__(self):
        return 50


TOKENIZER = Tokenizer()
CONFIG = SimpleNamespace(vocab_size=40, max_position_embeddings=64, model_type="bert")


class Task:
    def encoded(self, rows, processor):
        return Encoded(rows)


class Encoded:
    def __init__(self, rows):
        self.rows = rows

    def batch(self, indices):
        ids = torch.tensor([[self.rows[i], len(indices)] for i in indices])
        return {"input_ids": ids, "labels": ids[:, 0], "row_id": ids[:, 0]}


def sleeper(seconds, seen=None):
    def call(inputs):
        if seen is not None:
            seen.append(inputs)
        CLOCK.sleep(seconds)
        return {"logits": np.zeros((1, 2), np.float32)}

    return Model(call, TOKENIZER, CONFIG)


def test_every_model_takes_its_turn():
    made = []
    calls = [lambda turn, name=name: made.append((name, turn)) for name in "ABC"]
    timings = interleaved(calls, repeats=3, seconds=10, rest=0, warm_up=1)
    assert timings.shape == (3, 3)
    assert made[3:] == [(name, turn) for turn in range(3) for name in "ABC"]


def test_rest_comes_before_each_call_and_is_not_timed():
    start = CLOCK.now
    timings = interleaved([lambda turn: None] * 2, repeats=3, seconds=10, rest=0.03, warm_up=0)
    assert CLOCK.now - start == pytest.approx(6 * 0.03, rel=0.01)
    assert timings.max() < 1e-5


def test_a_slow_model_ends_early_but_not_before_the_fifth_turn():
    slow = [lambda turn: CLOCK.sleep(0.02)]
    assert len(interleaved(slow, repeats=100, seconds=0.21, rest=0, warm_up=0)) == 11
    assert len(interleaved(slow, repeats=100, seconds=1e-9, rest=0, warm_up=0)) == 5
    assert len(interleaved(slow, repeats=3, seconds=1e-9, rest=0, warm_up=0)) == 3


def test_speed_has_both_ratios():
    models = Opponents(sleeper(0.004), sleeper(0.016), sleeper(0.008), threads=3)
    found = speed(models, Bench("row", runtime="onnx"), 4, 16, repeats=7, seconds=9, rest=0)
    assert found.ratio == pytest.approx(4, rel=0.01)
    assert found.runtime_ratio == pytest.approx(2, rel=0.01)
    assert found.ratio_interval[0] <= found.ratio <= found.ratio_interval[1]
    assert found.median_seconds <= found.p95_seconds
    assert found.examples_per_second == pytest.approx(4 / 0.004, rel=0.01)
    assert (found.batch_size, found.sequence_length, found.repeats, found.threads) == (4, 16, 7, 3)


def test_in_pytorch_the_baseline_is_the_reference_of_the_runtime():
    found = speed(Opponents(sleeper(0.001), sleeper(0.002)), Bench("row"), 1, 8, repeats=3, seconds=9, rest=0)
    assert found.runtime_ratio == found.ratio is not None


def test_the_baseline_has_no_ratio():
    found = speed(Opponents(sleeper(0.001)), Bench("row"), 1, 8, repeats=3, seconds=9, rest=0)
    assert found.ratio is found.ratio_interval is found.runtime_ratio is None


def test_random_batches_are_ordinary_tokens_in_a_text_s_frame():
    batch = random_batch(sleeper(0), batch_size=3, length=20, seed=0)
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids"}
    ids = batch["input_ids"]
    assert ids.shape == (3, 20) and ids.dtype == np.int64
    assert (ids[:, 0] == 2).all() and (ids[:, -1] == 3).all()
    assert ids[:, 1:-1].min() > 3 and ids.max() < 40
    assert (batch["attention_mask"] == 1).all()
    np.testing.assert_array_equal(ids, random_batch(sleeper(0), batch_size=3, length=20, seed=0)["input_ids"])


def test_a_length_beyond_the_model_is_refused():
    with pytest.raises(InputError, match="at most 64 tokens"):
        random_batch(sleeper(0), batch_size=1, length=65, seed=0)


@pytest.mark.parametrize(
    ("lengths", "says"),
    [((64, "data"), None), ((16, 65), "65 tokens, and the model reads at most 64"), (("data",), None)],
)
def test_a_length_beyond_the_model_is_found_before_any_work(lengths, says):
    why = Latency(sequence_lengths=lengths).refuses(SimpleNamespace(config=CONFIG, processor=TOKENIZER))
    assert why is None if says is None else says in why


def test_a_device_that_is_not_there_is_found_before_any_work(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no GPU" in Latency(device="cuda").refuses(SimpleNamespace(config=CONFIG, processor=TOKENIZER))


def test_data_batches_hold_the_same_rows_for_every_model():
    bench = Bench("row", task=Task(), rows=range(100), seed=4)
    first, second = (batches(sleeper(0), bench, batch_size=5, length="data", count=3) for _ in range(2))
    assert len(first) == 3
    for one, other in zip(first, second):
        assert set(one) == {"input_ids"}
        np.testing.assert_array_equal(one["input_ids"], other["input_ids"])
    assert not np.array_equal(first[0]["input_ids"], first[1]["input_ids"])


def test_the_lengths_of_the_data_need_a_task():
    with pytest.raises(InputError, match="needs a task"):
        batches(sleeper(0), Bench("row"), batch_size=1, length="data", count=1)


def test_in_one_turn_all_models_work_on_the_same_rows():
    seen = [], []
    models = Opponents(sleeper(0, seen[0]), sleeper(0, seen[1]))
    speed(models, Bench("row", task=Task(), rows=range(50)), 2, "data", repeats=4, seconds=9, rest=0)
    assert len(seen[0]) == len(seen[1]) == 3 + 4
    for one, other in zip(*seen):
        np.testing.assert_array_equal(one["input_ids"], other["input_ids"])


def test_latency_reads_from_a_recipe_and_forbids_less_rest():
    found = Probe.parse({"latency": {"batch_sizes": [1, 8], "sequence_lengths": [128, "data"], "threads": 2}})
    assert found == Latency(threads=2)
    assert found.recipe_form() == {"latency": {"threads": 2}}
    for wrong in ({"rest": 0.01}, {"batch_sizes": []}, {"sequence_lengths": ["text"]}, {"device": "tpu"}, {"x": 1}):
        with pytest.raises(ValidationError):
            Latency(**wrong)
    with pytest.raises(UnknownName, match="latncy"):
        Probe.parse("latncy")


def bench_of(tmp_path, opened, **directories):
    for name in directories.values():
        (tmp_path / name).mkdir()

    def open_stub(directory, *, device, threads):
        opened.append((directory.name, device, threads))
        return sleeper(0)

    return Bench(**{role: tmp_path / name for role, name in directories.items()}, open=open_stub, threads=1)


def test_the_probe_times_each_point_and_opens_each_model_once(tmp_path):
    opened = []
    bench = bench_of(tmp_path, opened, row="b", baseline="a")
    before = torch.get_num_threads()
    probe = Latency(batch_sizes=(1, 2), sequence_lengths=(8, 16), repeats=2)
    found = probe.speeds(bench)
    torch.set_num_threads(before)
    assert [(s.batch_size, s.sequence_length) for s in found] == [(1, 8), (1, 16), (2, 8), (2, 16)]
    assert sorted(opened) == [("a", "cpu", 1), ("b", "cpu", 1)]


def test_beside_an_export_everything_is_timed_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr("compress.core.hardware.default_device", lambda choice: torch.device("cuda"))
    opened = []
    bench = bench_of(tmp_path, opened, row="b", baseline="a")
    before = torch.get_num_threads()
    assert opponents(bench, device="cuda", threads=1).device == "cuda"
    (tmp_path / "b" / "export.json").write_text("{}")
    assert runners.is_export(tmp_path / "b")
    assert opponents(bench, device="cuda", threads=1).device == "cpu"
    torch.set_num_threads(before)
