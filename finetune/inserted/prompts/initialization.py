"""Initialization of a prompt, and of its encoder."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import torch
from torch import Tensor

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.embeddings import position_limit
from compress.core.stage.context import Context
from compress.core.stage.task import TaskView
from finetune.inserted.prompts.encoder import PromptEncoder
from finetune.inserted.prompts.insert_prompt import encoder_of, prompt_of

__all__ = ["Start", "check_room", "initialize_encoder", "initialize_prompt"]

Start = Literal["random", "vocabulary", "labels"]
FREQUENT, LOOKED_AT = 5_000, 64
"""Tokens to draw from, as in the paper, and the number of batches that are counted to find them."""


def initialize_prompt(bundle: Bundle, ctx: Context, start: Start) -> None:
    """Initialize the prompt's embeddings, by the run's seed.

    `random` is normal with the deviation of the word embeddings (images: as the model's own [CLS] is drawn);
    `vocabulary` takes the embeddings of tokens drawn from the 5,000 most frequent of the training rows; `labels` takes
    the mean of the subword tokens of each label's name, then drawn tokens.

    Args:
        bundle: a model with a prompt.
        ctx: gives the seed and the training rows.
        start: `random`, `vocabulary` or `labels`.

    Raises:
        InputError: label words are asked of a task that has none.

    References:
        Lester et al. 2021, arXiv 2104.08691, section 3.2.
    """
    prompt, generator = prompt_of(bundle), ctx.generator()
    length, width = prompt.table.shape
    if start == "random":
        values = torch.randn(length, width, generator=generator) * _deviation(bundle)
    else:
        words = _label_words(bundle, ctx)[:length] if start == "labels" else []
        drawn = _drawn(bundle, ctx, length - len(words), generator)
        values = torch.stack([*words, *drawn])
    with torch.no_grad():
        prompt.table.copy_(values)


def initialize_encoder(bundle: Bundle, ctx: Context) -> None:
    """Initialize a prompt's embeddings, as `nn.Embedding` does, and its encoder, by the run's seed.

    Args:
        bundle: a model with a prompt and its encoder.
        ctx: gives the seed.
    """
    prompt = prompt_of(bundle)
    encoder: Any = prompt.encoder
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(ctx.seed)
        prompt.table.copy_(torch.randn(prompt.table.shape))
        encoder.load_state_dict(PromptEncoder(encoder.kind, prompt.table.shape[1]).state_dict())


def check_room(bundle: Bundle, task: TaskView | None, length: int) -> None:
    """Raise `InputError` where the task's longest row and the prompt need more positions than the model has.

    Args:
        bundle: the model.
        task: gives the longest row; None where it is unknown.
        length: of the prompt, in tokens.
    """
    limit = position_limit(bundle.config, bundle.family)
    asked = task.longest_row() if task else None
    if limit is None or asked is None:
        return
    longest = min(asked, getattr(bundle.processor, "model_max_length", asked))
    if longest + length > limit:
        raise InputError(
            f"rows of {longest} tokens and a prompt of {length} need more positions than the model has, {limit}",
            where="task.max_length",
            given=asked,
            advice=f"at most {limit - length}, or a shorter prompt",
        )


def _deviation(bundle: Bundle) -> float:
    if bundle.family.word_embedding is None:
        return float(bundle.config.initializer_range)
    words = encoder_of(bundle).get_input_embeddings()
    return float(_embedded(words, range(words.num_embeddings)).std())


def _label_words(bundle: Bundle, ctx: Context) -> list[Tensor]:
    """Mean embedding of the subword tokens of each label's name."""
    names = () if ctx.task is None else ctx.task.class_names
    if not names:
        raise InputError(
            "the prompt is to begin with label words, and the task has no classes",
            where="finetune.method.prompt.init",
            advice="take 'init: vocabulary'",
        )
    words = encoder_of(bundle).get_input_embeddings()
    spelled = (bundle.processor(name, add_special_tokens=False)["input_ids"] for name in names)
    return [_embedded(words, pieces).mean(0) for pieces in spelled if pieces]


def _drawn(bundle: Bundle, ctx: Context, count: int, generator: torch.Generator) -> Tensor:
    """(count, embedding size): embeddings of drawn tokens, none twice before all were drawn."""
    seen: Counter[int] = Counter()
    for batch in ctx.batches(bundle, "train", count=LOOKED_AT):
        seen.update(batch["input_ids"].reshape(-1).tolist())
    special = set(bundle.processor.all_special_ids)
    frequent = [token for token, _ in seen.most_common() if token not in special][:FREQUENT]
    order = [
        int(i) for _ in range(1 + count // len(frequent)) for i in torch.randperm(len(frequent), generator=generator)
    ]
    return _embedded(encoder_of(bundle).get_input_embeddings(), [frequent[i] for i in order[:count]])


def _embedded(words: Any, tokens: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = words(torch.tensor(list(tokens), dtype=torch.long, device=words.weight.device))
    return found.float().cpu()
