"""P-tuning: virtual tokens that a prompt encoder computes during training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.task import TaskView
from compress.core.values import Count
from finetune.inserted.prompts.encoder import Kind
from finetune.inserted.prompts.initialization import check_room, initialize_encoder
from finetune.inserted.prompts.insert_prompt import InsertPrompt, settled
from finetune.inserted.prompts.method import PromptMethod

__all__ = ["PTuning"]


class PTuning(PromptMethod):
    """Virtual tokens reparameterized by a prompt encoder (P-tuning), and the head; the base is frozen.

    P = MLP(LSTM(table)), section 3.2: two bidirectional layers, then two linears with a ReLU between them. The virtual
    tokens have the positions of those of `prompt`. After training they are computed once and the encoder is dropped, so
    that the saved and served parameters are one matrix of length times embedding size.

    The default rate, Adam's own, is ours, since it trains an LSTM and not the tokens; no search has confirmed it.

    References:
        Liu et al. 2021, arXiv 2103.10385, section 3.2.
    """

    name: ClassVar[str] = "p_tuning"
    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=5, learning_rate=1e-3, weight_decay=0.0).over(DEFAULT_PLAN)

    length: Count = Field(20, description="number of virtual tokens")
    encoder: Kind = Field("lstm", description="prompt encoder: the paper's LSTM and MLP, or the MLP alone")

    def change(self, sketch: Sketch) -> InsertPrompt:
        return InsertPrompt(length=self.length, encoder=self.encoder)

    def left(self, sketch: Sketch) -> InsertPrompt:
        return InsertPrompt(length=self.length)

    def check_task(self, bundle: Bundle, task: TaskView | None) -> None:
        check_room(bundle, task, self.length)

    def prepare(self, bundle: Bundle, ctx: Context) -> Bundle:
        check_room(bundle, ctx.task, self.length)
        initialize_encoder(bundle, ctx)
        return bundle

    def finish(self, bundle: Bundle, ctx: Context) -> Bundle:
        return settled(bundle)
