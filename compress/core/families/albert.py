"""ALBERT: one physical block that runs many times."""

from compress.core.families.family import Family

ALBERT = Family(
    model_type="albert",
    blocks="encoder.albert_layer_groups",
    query="albert_layers.0.attention.query",
    key="albert_layers.0.attention.key",
    value="albert_layers.0.attention.value",
    output="albert_layers.0.attention.dense",
    up="albert_layers.0.ffn",
    down="albert_layers.0.ffn_output",
    feed_forward_norm="albert_layers.0.full_layer_layer_norm",
    embeddings="embeddings",
    word_embedding="embeddings.word_embeddings",
    position_embedding="embeddings.position_embeddings",
    refusals={"layers": "one block runs for all layers, so there is no layer of its own to take out"},
)
