"""Virtual tokens that an encoder computes, and the head, are trained."""

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
from finetune.inserted.prompts.insert_prompt import InsertPrompt, settled
from finetune.inserted.prompts.method import PromptMethod
from finetune.inserted.prompts.start import check_room, draw_encoder

__all__ = ["PTuning"]


class PTuning(PromptMethod):
    """Train virtual tokens through an encoder, and the head; the base stays.  Liu et al. 2021, arXiv 2103.10385.

    P = MLP(LSTM(table)), section 3.2: two bidirectional layers, then two linears with a ReLU between them. The tokens
    stand where those of `prompt` do. After the training they are computed once and the encoder is thrown away, so
    what is saved and served is a table of length times width.

    The default rate, Adam's own, is ours, since it trains an LSTM and not the tokens; no search has confirmed it.
    """

    name: ClassVar[str] = "p_tuning"
    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=5, learning_rate=1e-3, weight_decay=0.0).over(DEFAULT_PLAN)

    length: Count = Field(20, description="virtual tokens")
    encoder: Kind = Field("lstm", description="what computes the tokens: the paper's LSTM and MLP, or the MLP alone")

    def change(self, sketch: Sketch) -> InsertPrompt:
        return InsertPrompt(length=self.length, encoder=self.encoder)

    def left(self, sketch: Sketch) -> InsertPrompt:
        return InsertPrompt(length=self.length)

    def check_task(self, bundle: Bundle, task: TaskView | None) -> None:
        check_room(bundle, task, self.length)

    def prepare(self, bundle: Bundle, ctx: Context) -> Bundle:
        check_room(bundle, ctx.task, self.length)
        draw_encoder(bundle, ctx)
        return bundle

    def finish(self, bundle: Bundle, ctx: Context) -> Bundle:
        return settled(bundle)
