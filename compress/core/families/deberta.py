"""DeBERTa: v1 fuses query, key and value head by head; v2 and v3 have separate linears."""

from dataclasses import replace
from typing import Literal

from compress.core.families.bert import BERT

FIELDS = {**BERT.config, "same_width": "pooler_hidden_size,embedding_size"}

HEADS: dict[str, Literal["heads", "width"]] = {
    "attention.self.num_attention_heads": "heads",
    "attention.self.all_head_size": "width",
}
RELATIVE = "its positions are relative, and their embeddings do not grow with the length of a text"

DEBERTA = replace(
    BERT,
    model_type="deberta",
    query="attention.self.in_proj",
    key="attention.self.in_proj",
    value="attention.self.in_proj",
    interleaved={"attention.self.in_proj": 3},
    bf16=False,  # it masks with the lowest value of fp32, which overflows in bf16
    biases_of_head=(
        "attention.self.q_bias",
        "attention.self.v_bias",
        "attention.self.pos_proj",
        "attention.self.pos_q_proj",
    ),
    head_attributes=HEADS,
    config=FIELDS,
    positions_if="position_biased_input",
    refusals={"positions": RELATIVE},
)
DEBERTA_V2 = replace(
    BERT,
    model_type="deberta-v2",
    query="attention.self.query_proj",
    key="attention.self.key_proj",
    value="attention.self.value_proj",
    biases_of_head=("attention.self.pos_key_proj", "attention.self.pos_query_proj"),
    head_attributes=HEADS,
    config=FIELDS,
    positions_if="position_biased_input",
    refusals={"positions": RELATIVE},
)
