"""Prompt tuning: virtual tokens among the input embeddings."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.task import TaskView
from compress.core.values import Count
from finetune.inserted.prompts.initialization import Start, check_room, initialize_prompt
from finetune.inserted.prompts.insert_prompt import InsertPrompt
from finetune.inserted.prompts.method import PromptMethod

__all__ = ["Prompt"]


class Prompt(PromptMethod):
    """Prompt tuning: `length` virtual tokens are trained as input embeddings, and the head; the base is frozen.

    The encoder's input is [x_1; P; x_2 .. x_n], where the paper's decoder reads [P; x]: a head uses [CLS] by its
    position, so the prompt stands behind it (GPT-2, T5: in front). Virtual tokens have the embedding size and positions
    of their own, and their hidden states are removed before the head. On images they stand behind [CLS] without
    positions (VPT-shallow).

    The paper trains 100 tokens by Adafactor at a constant rate of 0.3 for 30,000 steps, and finds it near full
    fine-tuning only from 11 billion parameters on. AdamW moves every value by about its rate, and a value of BERT's
    embeddings is near 0.05: the default rate of 1e-2 is ours, and no search has confirmed it. The head's rate is 1e-3.

    References:
        Lester et al. 2021, arXiv 2104.08691; Jia et al. 2022 (VPT), arXiv 2203.12119, for images.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(
        epochs=5, learning_rate=1e-2, schedule="constant", warmup=0.0, weight_decay=0.0
    ).over(DEFAULT_PLAN)

    length: Count = Field(
        20, description="number of virtual tokens; the paper's best is 100, and 20 are nearly as good"
    )
    init: Start = Field(
        "labels",
        description="initialization: random, embeddings drawn from the vocabulary, or label words and then drawn ones",
    )

    def change(self, sketch: Sketch) -> InsertPrompt:
        return InsertPrompt(length=self.length)

    def refuses(self, sketch: Sketch) -> str | None:
        if sketch.family.word_embedding is None and self.init != "random":
            return f"a {sketch.family.model_type} model has no words for a prompt to begin with; take 'init: random'"
        return super().refuses(sketch)

    def check_task(self, bundle: Bundle, task: TaskView | None) -> None:
        check_room(bundle, task, self.length)

    def prepare(self, bundle: Bundle, ctx: Context) -> Bundle:
        check_room(bundle, ctx.task, self.length)
        initialize_prompt(bundle, ctx, self.init)
        return bundle
