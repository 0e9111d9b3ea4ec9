"""Recovery on raw text: masked language modelling, and sentence order prediction, after compression."""

from __future__ import annotations

from typing import Any

from compress.core.errors import InputError
from compress.core.families.family import base_model
from compress.core.fit.plan import TrainPlan
from compress.core.fit.protocol import NO_LABEL
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.core.stage.corpus import TASK, documents
from compress.distill.masked.model import ORDER, check_head, masked_model
from compress.distill.masked.objective import MaskedWords
from compress.distill.masked.segments import rows_of_text

__all__ = ["check_text_recovery", "heal_on_text"]


def check_text_recovery(bundle: Bundle, *, head: str | None) -> None:
    """Raise `InputError` or `Refusal` where `heal_on_text` could not begin; no weights are needed or opened.

    Args:
        bundle: the compressed model, maybe on the meta device.
        head: a checkpoint with the family's masked language modelling head; None for a fresh head.
    """
    MaskedWords(bundle.processor)
    if head is not None:
        check_head(head, bundle.family)


def heal_on_text(bundle: Bundle, ctx: Context, plan: TrainPlan, *, corpus: str, head: str | None) -> dict[str, Any]:
    """Masked language modelling of the body of `bundle`, in place, under heads that are dropped afterwards.

    A pair of texts that is a row of the task (a question and its answer) does not follow each other in one document,
    so each of the two is a text by itself.

    Args:
        bundle: the compressed model; its own head stays as it is.
        ctx: trains it, and gives the texts of the task.
        plan: the complete plan of the training.
        corpus: `task` for the texts of *train*, or a file with one text on a line.
        head: a checkpoint whose masked language modelling head it starts from; None for a fresh one.

    Returns:
        What the report says: the corpus, rows and pairs, steps, and the losses at the end.

    Raises:
        Refusal: the family has no masked language modelling head, or its tokenizer no mask token.
        InputError: there is no text to train on.
    """
    objective = MaskedWords(bundle.processor)
    found = documents(corpus, ctx)
    texts = rows_of_text(found if corpus != TASK else [(t,) for row in found for t in row], seed=ctx.seed)
    if not texts.rows:
        raise InputError("there is no text to recover on", given=corpus)
    model = masked_model(bundle, seed=ctx.seed, head=head)
    names = set(dict(model.named_parameters()))
    student = Bundle(model, bundle.processor, masks={n: m for n, m in bundle.masks.items() if n in names})
    pairs = sum(label != NO_LABEL for label in texts.labels)
    _order_trains(model, bool(pairs))
    result = ctx.fit(student, objective, plan, name="recover", hooks=(objective,), texts=texts)
    bundle.to(next(base_model(model).parameters()).device)
    rows = {"rows": len(texts.rows), "pairs": pairs}
    return {"corpus": corpus, **rows, "steps": result.steps, "loss": result.loss, **objective.facts(result.steps)}


def _order_trains(model: Any, asked: bool) -> None:
    """A head without a loss is no trained parameter."""
    getattr(model, ORDER).requires_grad_(asked)
