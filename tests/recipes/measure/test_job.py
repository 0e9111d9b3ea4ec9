"""A saved model, measured in a process of its own."""

import json
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from compress.core.answers import Answers, read_answers, write_answers
from compress.core.checkpoint.save import load, save
from compress.core.errors import InputError, MissingPackage, ParityError, StageFailed
from compress.core.file_marks import marks_of
from finetune.tasks.text_classification import TextClassification
from recipes.measure import Job, measure, measure_directory, reference_answers
from recipes.measure import job as job_module
from recipes.measure.answers import compare, model_answers
from recipes.measure.forkserver import Ended
from recipes.measure.inputs import random_batch
from recipes.measure.quality import quality
from recipes.measure.runners import Model, open_model
from recipes.measure.worker import main, work
from recipes.record import Cost
from recipes.stage_record import StageRecord
from tests.tiny import tiny_bundle, tiny_classifier_directory, tiny_rows


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    for name, count, seed in (("train", 120, 0), ("validation", 70, 1), ("test", 50, 2)):
        lines = [json.dumps({"text": row["text"], "label": row["label"]}) for row in tiny_rows(count, seed)]
        (directory / f"{name}.jsonl").write_text("\n".join(lines))
    return TextClassification(data=str(directory), evaluation="validation+test", max_length=32)


@pytest.fixture(scope="module")
def saved(task, tmp_path_factory):
    """A model's directory, and what its reload must give."""
    directory = tmp_path_factory.mktemp("model")
    bundle = tiny_bundle("bert")
    save(bundle, directory)
    reference = directory / "reference.npz"
    reference_answers(bundle, task, task.load(0).evaluation, reference, threads=1)
    return directory, reference


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def changed_copy(directory, target):
    """The model with one weight moved by a thousandth."""
    bundle = load(directory)
    save(bundle, target)
    tensors = load_file(target / "model.safetensors")
    name = next(name for name in tensors if name.endswith("classifier.weight"))
    tensors[name] = tensors[name] + np.float32(1e-3)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.mark.slow
@pytest.mark.xdist_group("forkserver")
def test_a_fresh_process_measures_everything(task, saved, tmp_path):
    directory, reference = saved
    splits = task.load(0)
    splits.evaluation.save_to_disk(tmp_path / "rows")
    splits.select.save_to_disk(tmp_path / "select")
    job = Job(
        directory=directory, reference=reference, baseline=directory, task=task.recipe_form(),
        evaluation=tmp_path / "rows", select=tmp_path / "select", threads=1,
        probes=[{"latency": {"batch_sizes": [2], "sequence_lengths": [16, "data"], "repeats": 3}}],
    )  # fmt: skip
    found = measure(job, tmp_path / "out")
    assert found.max_difference == 0.0
    given = read_answers(found.logits)[0]
    np.testing.assert_array_equal(given.row_ids, splits.evaluation["row_id"])
    np.testing.assert_array_equal(read_answers(found.select_logits)[0].row_ids, splits.select["row_id"])
    assert [(s.batch_size, s.sequence_length) for s in found.speeds] == [(2, 16), (2, "data")]
    assert all(0.2 < s.ratio < 5 for s in found.speeds)
    assert found.load_seconds > 0 and found.resident_bytes >= 0
    assert found.size.parameters == sum(p.numel() for p in load(directory).model.parameters())
    labels = np.asarray(splits.evaluation["label"])
    answers = quality(task, given, task.targets(splits.evaluation), splits.evaluation["part"])
    assert answers.value == pytest.approx((given.values.argmax(-1) == labels).mean())
    assert set(answers.parts) == {"validation", "test"}


def test_a_reload_with_other_weights_is_told_in_the_caller_s_words(task, saved, tmp_path):
    directory, reference = saved
    other = changed_copy(directory, tmp_path / "other")
    job = Job(directory=other, reference=reference, task=task.recipe_form(), threads=1)
    file = tmp_path / "job.json"
    file.write_text(job.model_dump_json())
    assert main(file) == job_module.FAILED
    with pytest.raises(ParityError, match="differ by") as caught:
        raise job_module._failure(tmp_path, job)
    assert str(other) in str(caught.value)


def test_within_a_tolerance_the_difference_is_only_reported(task, saved, tmp_path):
    directory, reference = saved
    other = open_model(changed_copy(directory, tmp_path / "other"), threads=1)
    parts = [task.load(0).evaluation]
    with pytest.raises(ParityError, match="on 64 of 64 rows"):
        compare(other, task, parts, reference, 1e-6)
    difference = compare(other, task, parts, reference, 1.0)
    assert 1e-6 < difference < 1.0
    assert compare(other, task, parts, reference, None) == difference


def test_rows_of_another_split_are_not_compared(task, saved, tmp_path):
    directory, _ = saved
    write_answers(tmp_path / "reference.npz", Answers(np.array([10**9]), np.zeros((1, 2))))
    with pytest.raises(InputError, match="evaluation part does not have"):
        compare(open_model(directory, threads=1), task, [task.load(0).evaluation], tmp_path / "reference.npz", 0.0)


def test_reference_answers_leave_the_bundle_as_it_was(task, tmp_path):
    bundle = tiny_bundle("bert")
    bundle.model.train()
    before = torch.get_num_threads()
    reference_answers(bundle, task, task.load(0).evaluation, tmp_path / "file.npz", threads=before + 1, rows_used=10)
    assert bundle.model.training
    assert torch.get_num_threads() == before
    assert read_answers(tmp_path / "file.npz")[0].values.shape == (10, 2)


def test_another_runtime_answers_in_the_order_of_the_rows(task, saved):
    directory, _ = saved
    model = open_model(directory, threads=1)
    rows = task.load(0).evaluation
    session = Model(model.call, model.processor, model.config)
    one, other = model_answers(session, task, rows), model_answers(model, task, rows)
    np.testing.assert_array_equal(one.row_ids, rows["row_id"])
    np.testing.assert_allclose(one.values, other.values, atol=1e-6)


def test_logits_that_are_not_finite_name_their_rows(task, saved):
    directory, _ = saved
    model = open_model(directory, threads=1)
    nothing = np.full((1000, 2), np.nan, dtype=np.float32)
    broken = Model(lambda inputs: {"logits": nothing[: len(inputs["input_ids"])]}, model.processor, model.config)
    rows = task.load(0).evaluation
    with pytest.raises(StageFailed, match="not finite") as caught:
        model_answers(broken, task, rows)
    assert str(rows["row_id"][0]) in str(caught.value)


def test_an_export_s_counts_are_those_of_its_parent(saved, tmp_path):
    directory, _ = saved
    job = Job(directory=directory, counts={"parameters": 5, "nonzero": 4, "embedding": 3}, threads=1)
    found = work(job, tmp_path)
    assert (found.size.parameters, found.size.nonzero_parameters, found.size.embedding_parameters) == (5, 4, 3)
    assert found.logits is None and found.speeds == []


def test_the_worker_writes_what_went_wrong(tmp_path):
    file = tmp_path / "job.json"
    (tmp_path / "empty").mkdir()
    file.write_text(Job(directory=tmp_path / "empty", threads=1).model_dump_json())
    assert main(file) == job_module.FAILED
    with pytest.raises(InputError, match="no model in this directory"):
        raise job_module._failure(tmp_path, Job(directory=tmp_path / "empty"))


def test_an_error_with_its_own_message_keeps_it(tmp_path):
    error = MissingPackage("openvino", "openvino", purpose="the export")
    failure = job_module.Failure(kind="MissingPackage", what=error.what, advice=error.advice, given="'x'")
    (tmp_path / "failure.json").write_text(failure.model_dump_json())
    found = job_module._failure(tmp_path, Job(directory=tmp_path))
    assert isinstance(found, InputError) and found.exit_code == 2
    assert "openvino" in str(found) and "pip install" in str(found) and "given: 'x'" in str(found)


def test_a_process_that_is_killed_says_so(monkeypatch, tmp_path):
    def killed(file, *, threads):
        return Ended(-signal.SIGKILL, "line\n" * 50 + "last words")

    monkeypatch.setattr(job_module, "run_job", killed)
    with pytest.raises(StageFailed) as caught:
        measure(Job(directory=tmp_path), tmp_path / "out")
    message = str(caught.value)
    assert "signal 9" in message and "last words" in message and "memory" in message
    assert message.count("line\n") < 20


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr("recipes.measure.directory.measure", work)


def test_a_directory_with_a_recipe_is_judged_on_its_task(saved, task, in_this_process):
    recipe = SimpleNamespace(task=task, seeds=(0,), name="mine")
    row = measure_directory(saved[0], recipe=recipe, batch_sizes=(1,), lengths=(32, "data"), threads=1)
    assert [s.sequence_length for s in row.speed] == [32, "data"]
    assert row.quality.metric == "accuracy" and row.quality.examples == 120
    assert row.quality.difference is None


def test_classes_are_matched_by_the_names_of_the_directory(saved, task, in_this_process, tmp_path):
    named = task.model_copy(update={"labels": ("bad", "good")})
    for derived in ("label_set", "sources", "loaded"):
        named.__dict__.pop(derived, None)
    recipe = SimpleNamespace(task=named, seeds=(0,), name="mine")
    directory = shutil.copytree(saved[0], tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    rows = {}
    for labels in (("bad", "good"), ("Good", "Bad"), ("no", "yes")):
        (directory / "config.json").write_text(json.dumps(config | {"id2label": dict(enumerate(labels))}))
        rows[labels[0]] = measure_directory(directory, recipe=recipe, batch_sizes=(1,), lengths=(8,), threads=1)
    assert rows["Good"].quality.value == pytest.approx(1 - rows["bad"].quality.value)
    assert rows["no"].quality.value == rows["bad"].quality.value
    assert "(bad, good) and the checkpoint's (no, yes) do not match by name" in rows["no"].notes[-1]
    assert rows["Good"].notes == rows["bad"].notes


def test_a_directory_is_measured_by_itself(saved, in_this_process):
    directory, _ = saved
    row = measure_directory(directory, batch_sizes=(1,), lengths=(8,), threads=1)
    assert row.size.bytes > 0 and row.sha256
    assert row.speed[0].ratio is None and row.speed[0].threads == 1
    assert (row.runtime, row.precision, row.quality) == ("pytorch", "fp32", None)


def test_a_directory_without_a_recipe_has_no_data(saved, tmp_path):
    with pytest.raises(InputError, match="need a task"):
        measure_directory(saved[0], lengths=("data",))
    with pytest.raises(InputError, match="no such directory"):
        measure_directory(tmp_path / "none")


def test_a_model_without_a_head_answers_nothing(tmp_path):
    bundle = tiny_bundle("bert")
    bundle.model.base_model.save_pretrained(tmp_path)
    bundle.processor.save_pretrained(tmp_path)
    model = open_model(tmp_path, threads=1)
    with pytest.raises(InputError, match="no head that answers: BertModel"):
        model(random_batch(model, batch_size=1, length=8, seed=0))


def test_a_damaged_stage_of_a_run_is_not_measured(tmp_path):
    directory = tiny_classifier_directory(tmp_path)
    record = StageRecord(
        id="a", stage="source", settings={}, identity="i", states=[], cost=Cost(seconds=0.0), files=marks_of(directory)
    )
    record.write(directory / "stage.json")
    (directory / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"not as they were written: tokenizer\.json"):
        measure_directory(directory)
