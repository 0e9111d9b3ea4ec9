"""What the cache gives equals what the teacher gives, and it is computed once."""

import shutil

import pytest
import torch

from compress.core.errors import StageFailed
from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.distill.cache import filling as cache_filling
from compress.distill.cache.filling import by_length
from compress.distill.cache.teacher import CachedTeacher, cached_teacher
from compress.distill.losses.hidden_states import HiddenStates
from compress.distill.losses.soft_targets import SoftTargets
from compress.distill.objective import distillation, read_once
from compress.distill.teacher import LiveTeacher, outputs_and_hidden, same_inputs, same_tokens
from tests.compress.distill.stub import ROWS, batches_of, encode, stub_context, trained
from tests.tiny import TinyTask, tiny_bundle, tiny_tokenizer


@pytest.fixture
def teacher():
    return trained()


def cache(teacher, tmp_path, layers=(1, 3), **extra):
    ctx = stub_context(tmp_path, **extra)
    return cached_teacher(teacher, ctx, ctx.task, directory=tmp_path / "cache", layers=layers, precision="fp32")


def test_cached_outputs_are_the_teachers(teacher, tmp_path):
    cached, live = cache(teacher, tmp_path), LiveTeacher(teacher, TinyTask(), layers=(1, 3))
    batch = encode(teacher, [ROWS[n] for n in (7, 0, 39, 12, 7)])
    found, expected = cached(batch), live(batch)
    torch.testing.assert_close(found.answers.values, expected.answers.values, atol=1e-5, rtol=1e-5)
    real = batch["attention_mask"].bool()
    assert found.matched.all() and not real.all()
    for layer in (1, 3):
        torch.testing.assert_close(found.hidden[layer][real], expected.hidden[layer][real], atol=5e-3, rtol=2e-3)
        assert (found.hidden[layer][~real] == 0).all()
    assert cached.facts()["rows"] == len(ROWS)
    assert cached.bytes >= 2 * 2 * 32 * int(encode(teacher, ROWS)["attention_mask"].sum())


def test_logits_alone_need_no_file_of_hidden_states(teacher, tmp_path):
    cached = cache(teacher, tmp_path, layers=())
    assert cached.hidden is None and cached(encode(teacher, ROWS[:3])).hidden == {}


def test_a_complete_cache_is_not_computed_again(teacher, tmp_path, monkeypatch):
    assert not cache(teacher, tmp_path).reused
    monkeypatch.setattr("compress.distill.cache.teacher.fill", lambda *_, **__: pytest.fail("computed again"))
    assert cache(teacher, tmp_path).reused


def test_a_broken_off_or_foreign_cache_is_computed_again(teacher, tmp_path):
    cache(teacher, tmp_path)
    (tmp_path / "cache" / "complete.json").unlink()
    assert not cache(teacher, tmp_path).reused
    assert not cache(tiny_bundle("bert", seed=1), tmp_path).reused
    assert not cache(tiny_bundle("bert", seed=1), tmp_path, layers=(0,)).reused
    assert not cache(tiny_bundle("bert", seed=1), tmp_path, layers=(0,), part_fingerprints={"train": "x"}).reused


@pytest.mark.parametrize("place", range(4))
def test_a_damaged_cache_is_computed_again(teacher, tmp_path, place):
    cache(teacher, tmp_path)
    files = sorted(path for path in (tmp_path / "cache").iterdir() if path.is_file())
    file = files[place % len(files)]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert not cache(teacher, tmp_path).reused
    assert cache(teacher, tmp_path).reused


def test_a_cache_without_answers_is_computed_again(teacher, tmp_path):
    expected = cache(teacher, tmp_path).answers
    (tmp_path / "cache" / "answers.npz").rename(tmp_path / "cache" / "logits.npz")  # as earlier versions had it
    again = cache(teacher, tmp_path)
    assert not again.reused and (again.answers.values == expected.values).all()
    assert not (tmp_path / "cache" / "logits.npz").exists()


def test_rows_of_other_pieces_are_masked_and_counted(teacher, tmp_path):
    cached = cache(teacher, tmp_path)
    batch = encode(teacher, ROWS[:3])
    batch["attention_mask"][1, int(batch["attention_mask"][1].sum()) - 1] = 0
    answers = cached(batch)
    assert answers.matched.tolist() == [True, False, True]
    assert (answers.hidden[1][1] == 0).all()
    assert cached.facts()["rows_with_other_pieces"] == 1


def test_a_row_that_the_teacher_never_saw_is_named(teacher, tmp_path):
    cached = cache(teacher, tmp_path)
    batch = encode(teacher, ROWS[:2])
    batch["row_id"] = torch.tensor([0, 4711])
    with pytest.raises(StageFailed, match="no output for rows") as caught:
        cached(batch)
    assert caught.value.given == [4711]


def test_batches_by_length_hold_each_row_once_without_common_padding(teacher):
    wide = encode(teacher, ROWS)
    parts = list(by_length(wide, rows=8))
    assert sorted(torch.cat([part["row_id"] for part in parts]).tolist()) == list(range(len(ROWS)))
    assert all(part["attention_mask"].any(0).all() for part in parts)
    assert sum(part["input_ids"].numel() for part in parts) < wide["input_ids"].numel()


def objective(student, teacher, ctx, plan):
    return distillation(student, teacher, (SoftTargets(), HiddenStates()), ctx, plan.over(DEFAULT_PLAN), name="test")


def test_the_cache_is_for_trainings_that_read_rows_again(teacher, tmp_path):
    ctx = stub_context(tmp_path)
    assert isinstance(objective(trained(), teacher, ctx, TrainPlan(epochs=1)).teacher, LiveTeacher)
    assert isinstance(objective(trained(), teacher, ctx, TrainPlan(epochs=2)).teacher, CachedTeacher)
    assert read_once(TrainPlan(max_steps=10, batch_size=32, epochs=3))
    assert not read_once(TrainPlan(max_steps=10_000, batch_size=32))


def test_live_and_cached_losses_agree(teacher, tmp_path):
    ctx, student = stub_context(tmp_path), trained(seed=5)
    batch = encode(student, ROWS[:9])
    live, cached = (objective(student, teacher, ctx, TrainPlan(epochs=n))(student.model, batch) for n in (1, 2))
    torch.testing.assert_close(live, cached, atol=1e-3, rtol=1e-3)


def test_other_tokens_are_read_by_the_teacher_itself(teacher, tmp_path):
    student = trained(seed=5)
    student.processor = tiny_tokenizer()
    assert same_tokens(student.processor, teacher.processor)
    student.processor.backend_tokenizer.normalizer = None
    assert not same_tokens(student.processor, teacher.processor)
    assert isinstance(objective(student, teacher, stub_context(tmp_path), TrainPlan(epochs=1)).teacher, CachedTeacher)


def test_a_teacher_that_takes_more_inputs_reads_the_rows_itself(teacher, tmp_path):
    student = trained("distilbert")
    student.processor = teacher.processor
    assert same_inputs(teacher, trained()) and not same_inputs(student, teacher)
    assert isinstance(objective(student, teacher, stub_context(tmp_path), TrainPlan(epochs=1)).teacher, CachedTeacher)


def test_a_full_disk_falls_back_and_says_so(teacher, tmp_path, monkeypatch):
    full = shutil._ntuple_diskusage(10, 10, 0)
    monkeypatch.setattr(cache_filling.shutil, "disk_usage", lambda _: full)
    ctx = stub_context(tmp_path)
    assert isinstance(objective(trained(), teacher, ctx, TrainPlan(epochs=2)).teacher, LiveTeacher)
    assert "did not fit" in ctx.facts["disk_too_full"] and not list(tmp_path.iterdir())
    student = trained()
    student.processor = tiny_tokenizer(segments=False)
    student.processor.backend_tokenizer.normalizer = None
    with pytest.raises(StageFailed, match="disk is too full"):
        objective(student, teacher, ctx, TrainPlan(epochs=2))


def test_a_teacher_that_is_not_finite_stops_the_stage(teacher, tmp_path):
    teacher.model.classifier.bias.data[0] = float("nan")
    with pytest.raises(StageFailed, match="answers are not finite"):
        cache(teacher, tmp_path)


def test_a_teacher_of_another_family_ignores_what_it_does_not_take(tmp_path):
    student, teacher = trained("bert"), trained("distilbert")
    teacher.processor = student.processor
    answers = LiveTeacher(teacher, TinyTask(), layers=())(encode(student, ROWS[:4]))
    inputs = {name: value for name, value in encode(student, ROWS[:4]).items() if name != "token_type_ids"}
    outputs = outputs_and_hidden(teacher.model, inputs, hidden=False)[0]
    torch.testing.assert_close(answers.answers.values, outputs["logits"])


def test_batches_without_padding_count_as_full(tmp_path):
    bundle = trained("vit")

    def batches(bundle: Bundle, part="train", count=None, batch_size=32):
        for start in (0, 4):
            pixels = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(start))
            yield {"pixel_values": pixels, "labels": torch.zeros(4).long(), "row_id": torch.arange(start, start + 4)}

    ctx = stub_context(tmp_path)
    ctx.batches = batches
    cached = cached_teacher(bundle, ctx, ctx.task, directory=tmp_path / "cache", layers=(3,), precision="fp32")
    batch = next(batches(bundle))
    expected = LiveTeacher(bundle, TinyTask(), layers=(3,))(batch)
    torch.testing.assert_close(cached(batch).hidden[3], expected.hidden[3], atol=5e-3, rtol=2e-3)


def test_the_stub_reads_rows_in_order():
    found = [batch["row_id"] for batch in batches_of(ROWS)(trained(), batch_size=16)]
    assert torch.cat(found).tolist() == list(range(len(ROWS)))
