"""Many tasks on one base: the head and the names of the labels are the delta's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import finetune
from compress.core.checkpoint.for_task import load_source
from compress.core.errors import InputError
from compress.core.model.bundle import Bundle, Tuned
from compress.core.model.change import Nothing
from compress.core.model.head import TaskHead
from finetune.delta.record import TENSORS, base_fingerprint
from finetune.method import Method
from finetune.methods.bitfit import Bitfit
from finetune.methods.houlsby import Houlsby
from finetune.methods.lora import Lora
from tests.finetune.methods.steps import few_steps
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle, tiny_classifier_directory, tiny_logits

TASKS: dict[str, tuple[Method, tuple[str, ...]]] = {
    "reviews": (Lora(rank=2), ("bad", "good")),
    "inference": (Houlsby(width=4), ("entailment", "neutral", "contradiction")),
    "questions": (Bitfit(), ("abbreviation", "entity", "description", "human", "location", "number")),
    "answers": (Lora(rank=4), ("no", "yes")),
}


def tuned(base: Bundle, method: Method) -> Bundle:
    """The base after a few steps of a method of few parameters."""
    fingerprint = base_fingerprint(base.model, base.family)
    change = method.change(base.sketch())
    after = base if isinstance(change, Nothing) else base.changed_by(change)
    names = method.trainable(after)
    few_steps(after, names)
    after.tuned, after.states = Tuned(method.name, names, 0, fingerprint), after.states | {"head_trained"}
    return after


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, and beside it a delta of each task."""
    root = tmp_path_factory.mktemp("many")
    base = tiny_classifier_directory(root / "base", "bert", labels=4)
    for name, (method, labels) in TASKS.items():
        after = tuned(load_source(base, head="sequence_classification", labels=labels), method)
        finetune.save_delta(after, root / name, base=base)
    return root


@pytest.mark.parametrize("form", ["a directory", "a bundle of four labels", "a bundle of two labels"])
def test_tasks_of_other_labels_share_one_base(root: Path, form: str) -> None:
    four = load_source(root / "base", head="sequence_classification")
    two = load_source(root / "base", head="sequence_classification", labels=("a", "b"))
    bases = {"a directory": root / "base", "a bundle of four labels": four, "a bundle of two labels": two}
    many = finetune.Deltas(bases[form])
    for name in TASKS:
        many.add(name, root / name)
    own = many.base.config.id2label.copy()
    for name, (_, labels) in [*TASKS.items(), *TASKS.items()]:
        served, alone = many.use(name), finetune.load(root / "base", root / name)
        assert torch.equal(tiny_logits(served), tiny_logits(alone)), name
        assert tiny_logits(served).shape[-1] == served.config.num_labels == served.model.num_labels == len(labels)
        assert tuple(served.config.id2label.values()) == tuple(alone.config.id2label.values()) == labels
        assert served.config.label2id == {label: number for number, label in enumerate(labels)}
    assert many.base.config.id2label == own
    assert sum(p is q for p, q in zip(many.base.model.parameters(), many.use("questions").model.parameters())) > 5


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - IMAGE_FAMILIES - {"t5"}))
def test_the_head_of_every_family_is_the_deltas(name: str, tmp_path: Path) -> None:
    three, base = tiny_bundle(name, labels=3), tiny_bundle(name, labels=6)
    state = base.model.state_dict()
    fitting = {key: value for key, value in three.model.state_dict().items() if state[key].shape == value.shape}
    base.model.load_state_dict(fitting, strict=False)
    after = tuned(three, Bitfit())
    finetune.save_delta(after, tmp_path)
    assert torch.equal(tiny_logits(finetune.load(base, tmp_path)), tiny_logits(after))


def test_a_base_that_waits_for_its_first_delta(root: Path, tmp_path: Path) -> None:
    many = finetune.Deltas(root / "base")
    with pytest.raises(InputError, match="opened with the first delta"):
        many.use(None)
    with pytest.raises(InputError, match="no delta"):
        many.add("reviews", tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        finetune.Deltas(tmp_path / "nowhere")
    with pytest.raises(InputError, match="of another base"):
        finetune.Deltas(tiny_bundle("bert", seed=1)).add("reviews", root / "reviews")


def test_a_delta_without_a_head_needs_a_base_with_its_labels(tmp_path: Path) -> None:
    base = tiny_bundle("bert")
    names = frozenset({"bert.embeddings.LayerNorm.weight"})
    after = base.copy()
    after.tuned = Tuned("layer_norm", names, 0, base_fingerprint(base.model, base.family))
    finetune.save_delta(after, tmp_path)
    wider = tiny_bundle("bert", labels=3)
    wider.model.bert.load_state_dict(base.model.bert.state_dict())
    with pytest.raises(InputError, match="for 2 labels and has no head of its own, and the base's head is for 3"):
        finetune.load(wider, tmp_path)
    assert torch.equal(tiny_logits(finetune.load(base, tmp_path)), tiny_logits(after))


def test_the_kind_of_problem_belongs_to_the_delta(tmp_path: Path) -> None:
    directory = tiny_classifier_directory(tmp_path / "base", "bert", labels=2)
    head = TaskHead("sequence_classification", ("a", "b", "c"), "multi_label_classification")
    finetune.save_delta(tuned(load_source(directory, head=head), Bitfit()), tmp_path / "delta")
    base = load_source(directory, head="sequence_classification", labels=None, regression=True)
    assert base.config.num_labels == 1
    assert finetune.load(base, tmp_path / "delta").config.problem_type == "multi_label_classification"


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks for it
def test_what_peft_and_transformers_open_from_anywhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoTokenizer

    from compress.core.checkpoint.save import save

    bundle = load_source(root / "base", head="sequence_classification", labels=("no", "yes"))
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    save(bundle, Path("base"))
    after = tuned(bundle.copy(), Lora(rank=2))
    finetune.save_delta(after, Path("delta"), base=Path("base"))
    monkeypatch.chdir(root)
    opened = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "run" / "delta").eval()
    torch.testing.assert_close(tiny_logits(Bundle(opened, after.processor)), tiny_logits(after))
    assert opened.config.id2label == {0: "no", 1: "yes"}
    text = "the film was good"
    tokens = AutoTokenizer.from_pretrained(tmp_path / "run" / "delta")(text).input_ids
    assert tokens == AutoTokenizer.from_pretrained(root / "base")(text).input_ids

    # A run that is moved as a whole keeps the way between its stages; PEFT's path is told anew.
    (tmp_path / "run").rename(tmp_path / "moved")
    from finetune.delta.saving import move_base

    move_base(tmp_path / "moved" / "delta", tmp_path / "moved" / "base")
    again = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "moved" / "delta").eval()
    torch.testing.assert_close(tiny_logits(Bundle(again, after.processor)), tiny_logits(after))
    assert not (tmp_path / "moved" / "delta" / TENSORS).exists()
