"""A Context without `finetune`: rows of the tiny language, a task of two labels, a fit of a few plain steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from compress.core.fit.plan import TrainPlan
from compress.core.fit.protocol import FitResult, Objective, trained_parameters
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.stage.context import Context
from tests.tiny import TinyTask, tiny_bundle, tiny_rows

ROWS = tiny_rows(40, seed=3)


def encode(bundle: Bundle, rows: list[dict[str, Any]]) -> Batch:
    found = dict(bundle.processor([row["text"] for row in rows], padding=True, return_tensors="pt"))
    return {
        **found,
        "labels": torch.tensor([row["label"] for row in rows]),
        "row_id": torch.tensor([row["row_id"] for row in rows]),
    }


def batches_of(rows: list[dict[str, Any]]) -> Callable[..., Iterator[Batch]]:
    def batches(bundle: Bundle, part: str = "train", count: int | None = None, batch_size: int = 32) -> Iterator[Batch]:
        starts = range(0, len(rows), batch_size)
        for start in starts if count is None else starts[:count]:
            yield encode(bundle, rows[start : start + batch_size])

    return batches


class StubFit:
    """A few steps of plain gradient descent on the same rows; remembers what it was asked."""

    def __init__(self, rows: list[dict[str, Any]], *, steps: int = 3) -> None:
        self.rows, self.steps = rows, steps
        self.plans: list[TrainPlan] = []
        self.losses: list[float] = []

    def __call__(
        self, bundle: Bundle, objective: Objective, plan: TrainPlan, *, name: str = "fit", hooks: Any = ()
    ) -> FitResult:
        self.plans.append(plan)
        optimiser = torch.optim.AdamW(bundle.model.parameters(), lr=1e-3)
        bundle.model.train()
        for _ in range(self.steps):
            loss = objective(bundle.model, encode(bundle, self.rows))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            self.losses.append(loss.item())
        bundle.model.eval()
        return FitResult(self.steps, 0.1, trained_parameters(bundle.model), self.losses[-1] if self.losses else 0.0)


def stub_context(scratch: Path | None = None, *, steps: int = 3, regression: bool = False, **extra: Any) -> Context:
    rows = ROWS
    return Context(
        task=TinyTask("pearson" if regression else "accuracy"),
        fit=StubFit(rows, steps=steps),
        batches=batches_of(rows),
        scratch=scratch,
        **extra,
    )


def trained(model_type: str = "bert", **config: Any) -> Bundle:
    """A tiny bundle whose head counts as trained, without dropout so that training is exact."""
    bundle = tiny_bundle(model_type, **config)
    bundle.states = frozenset({"head_trained"})
    return bundle
