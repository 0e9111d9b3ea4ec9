"""ALBERT: one physical block that runs many times; a BERT or a RoBERTa can be turned into one."""

from dataclasses import replace

from compress.core.families.conversion import Conversion
from compress.core.families.family import Family

BERT = Conversion(
    block={
        "attention.self.query": "albert_layers.0.attention.query",
        "attention.self.key": "albert_layers.0.attention.key",
        "attention.self.value": "albert_layers.0.attention.value",
        "attention.output.dense": "albert_layers.0.attention.dense",
        "attention.output.LayerNorm": "albert_layers.0.attention.LayerNorm",
        "intermediate.dense": "albert_layers.0.ffn",
        "output.dense": "albert_layers.0.ffn_output",
        "output.LayerNorm": "albert_layers.0.full_layer_layer_norm",
    },
    outside={"pooler.dense": "pooler"},
    tables=(
        "embeddings.word_embeddings",
        "embeddings.position_embeddings",
        "embeddings.token_type_embeddings",
    ),
    positions="embeddings.position_embeddings",
    norm="embeddings.LayerNorm",
    mapping="encoder.embedding_hidden_mapping_in",
    config={"classifier_dropout_prob": ("classifier_dropout", "hidden_dropout_prob")},
    groups="num_hidden_groups",
    width="embedding_size",
    length="max_position_embeddings",
)
ROBERTA = replace(
    BERT,
    # Its head begins with what ALBERT has as the pooler: a linear and tanh on the first token.
    head={"classifier.dense": "pooler"},
    head_names={"classifier.out_proj": "classifier"},
    first_position="pad_token_id",
)
ALBERT = Family(
    model_type="albert",
    blocks="encoder.albert_layer_groups",
    query="albert_layers.0.attention.query",
    key="albert_layers.0.attention.key",
    value="albert_layers.0.attention.value",
    output="albert_layers.0.attention.dense",
    up="albert_layers.0.ffn",
    down="albert_layers.0.ffn_output",
    attention=("albert_layers.0.attention",),
    feed_forward_norm="albert_layers.0.full_layer_layer_norm",
    embeddings="embeddings",
    word_embedding="embeddings.word_embeddings",
    segment_embedding="embeddings.token_type_embeddings",
    position_embedding="embeddings.position_embeddings",
    made_from={"bert": BERT, "roberta": ROBERTA, "xlm-roberta": ROBERTA, "camembert": ROBERTA},
    refusals={
        "layers": "one block runs for all layers, so that no single layer can be removed",
        "blocks": "one block runs for all layers already",
    },
)
