"""Tiny models, tokenizers and rows. Nothing is downloaded, and no logit is nearly zero."""

from tests.tiny.models import (
    FAMILIES,
    IMAGE_FAMILIES,
    few,
    tiny_bundle,
    tiny_classifier_directory,
    tiny_config,
    tiny_inputs,
    tiny_logits,
)
from tests.tiny.rows import tiny_rows
from tests.tiny.settings import tiny_settings
from tests.tiny.task import TinyTask, class_answers, right_answers
from tests.tiny.tokens import tiny_tokenizer

__all__ = [
    "FAMILIES",
    "IMAGE_FAMILIES",
    "TinyTask",
    "class_answers",
    "few",
    "right_answers",
    "tiny_bundle",
    "tiny_classifier_directory",
    "tiny_config",
    "tiny_inputs",
    "tiny_logits",
    "tiny_rows",
    "tiny_settings",
    "tiny_tokenizer",
]
