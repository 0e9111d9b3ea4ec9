"""A model family that is not there yet."""

from dataclasses import replace

from compress.core.families.bert import BERT

ERNIE = replace(BERT, model_type="ernie")
