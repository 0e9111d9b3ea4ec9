"""ModernBERT: fused query-key-value, gated feed-forward network in one linear, no biases."""

from compress.core.families.family import Family

MODERNBERT = Family(
    model_type="modernbert",
    blocks="layers",
    query="attn.Wqkv",
    key="attn.Wqkv",
    value="attn.Wqkv",
    output="attn.Wo",
    up="mlp.Wi",
    gate="mlp.Wi",
    down="mlp.Wo",
    attention=("attn_norm", "attn"),
    stacked={"attn.Wqkv": 3, "mlp.Wi": 2},
    bias_fields=("attention_bias", "mlp_bias", "norm_bias"),
    needs_first_layer="it alone has no norm before its attention",
    embeddings="embeddings",
    word_embedding="embeddings.tok_embeddings",
    config={
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "neurons": "intermediate_size",
        "hidden": "hidden_size",
        "layer_lists": "layer_types",
    },
    refusals={"positions": "its positions are rotary, and no embeddings of them are stored"},
)
