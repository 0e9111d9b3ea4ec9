"""Virtual tokens among the input's, and the head, are trained."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.task import TaskView
from compress.core.values import Count
from finetune.inserted.prompts.insert_prompt import InsertPrompt
from finetune.inserted.prompts.method import PromptMethod
from finetune.inserted.prompts.start import Start, check_room, start_prompt

__all__ = ["Prompt"]


class Prompt(PromptMethod):
    """Train `length` virtual tokens and the head; the base stays.  Lester et al. 2021, arXiv 2104.08691.

    [x_1; P; x_2 .. x_n] is what the encoder reads, where the paper's decoder reads [P; x]: a head reads [CLS] by its
    place, so the prompt stands behind it (GPT-2, T5: in front). Its width is that of the word embeddings, its tokens
    have positions as others have, and what the encoder says of them is taken out before the head reads. On images it
    stands behind [CLS] without positions: Jia et al. 2022, arXiv 2203.12119, VPT-shallow.

    The paper trains 100 tokens by Adafactor at a constant rate of 0.3 for 30,000 steps, and finds it near full tuning
    only from 11 billion parameters on. AdamW moves every value by about its rate, and a value of BERT's embeddings is
    near 0.05: the default rate of 1e-2 is ours, and no search has confirmed it. The head learns at 1e-3.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(
        epochs=5, learning_rate=1e-2, schedule="constant", warmup=0.0, weight_decay=0.0
    ).over(DEFAULT_PLAN)

    length: Count = Field(20, description="virtual tokens; the paper's best is 100, and 20 are nearly as good")
    init: Start = Field(
        "labels", description="of the tokens: random, drawn from the vocabulary, or label words and then drawn ones"
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
        start_prompt(bundle, ctx, self.init)
        return bundle
