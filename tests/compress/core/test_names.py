"""A hint is given only where a name is near; else the list of what there is."""

from __future__ import annotations

import pytest

from compress.core.errors import near
from compress.core.names import close_names

STAGES = [
    "convert", "distill", "export", "factorize", "find_ticket", "finetune", "make_permanent", "merge", "prune", "share",
    "trim_vocabulary", "untie",
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "known", "meant"),
    [
        ("prun", STAGES, ["prune"]),
        ("distil", STAGES, ["distill"]),
        ("fine-tune", STAGES, ["finetune"]),
        ("Finetune", STAGES, ["finetune"]),
        ("trim_vocab", STAGES, ["trim_vocabulary"]),
        ("latencies", ["latency", "energy"], ["latency"]),
        ("validate", ["train", "validation"], ["validation"]),
        ("trian", ["train", "text"], ["train"]),
        ("batch", ["batches", "seed"], ["batches"]),
        ("layer-norm", ["layer_norm", "lora"], ["layer_norm"]),
        ("prune-3", ["prune", "prune-2"], []),
        ("int4", ["int8", "fp32"], []),
        ("quantize", STAGES, []),
        ("quantization", STAGES, []),
        ("compress", STAGES, []),
        ("train", STAGES, []),
        ("untied", STAGES, ["untie"]),
        ("reap", ["head", "heap"], ["heap"]),
        ("x", ["y"], []),
        ("", STAGES, []),
        ("prune" * 1000, STAGES, []),
    ],
)
def test_what_was_meant(given: str, known: list[str], meant: list[str]) -> None:
    assert close_names(given, known) == meant


def test_the_advice_names_what_is_near_or_all_that_there_is() -> None:
    assert near("prun", STAGES) == "did you mean 'prune'?"
    assert near("lab", ["label", "lab_1"]).startswith("one of: ") and near("labe", ["label", "labei"]) == (
        "did you mean 'labei' or 'label'?"
    )
    assert near("quantize", STAGES) == f"one of: {', '.join(STAGES)}"
    assert near("x", []) == "one of: (none)"
    many = near("weight", [f"column_{number}" for number in range(5000)])
    assert len(many) < 600 and many.endswith("... (5000 in all)")
