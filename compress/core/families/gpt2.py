"""GPT-2: linears stored as (in, out), with query, key and value fused one after the other."""

from compress.core.families.family import Family

FIELDS = {
    "layers": "n_layer",
    "heads": "n_head",
    "neurons": "n_inner",
    "hidden": "n_embd",
    "positions": "n_positions",
}
GPT2 = Family(
    model_type="gpt2",
    blocks="h",
    query="attn.c_attn",
    key="attn.c_attn",
    value="attn.c_attn",
    output="attn.c_proj",
    up="mlp.c_fc",
    down="mlp.c_proj",
    attention=("ln_1", "attn"),
    stacked={"attn.c_attn": 3},
    head_attributes={"attn.num_heads": "heads", "attn.split_size": "width"},
    embeddings="wte",
    leading_tokens=0,
    head_token="last",
    word_embedding="wte",
    segment_embedding="wte",
    position_embedding="wpe",
    config=FIELDS,
    further=(
        # Only with `add_cross_attention` in the configuration.
        Family(
            model_type="gpt2",
            blocks="h",
            stack="cross-attention",
            query="crossattention.q_attn",
            key="crossattention.c_attn",
            value="crossattention.c_attn",
            output="crossattention.c_proj",
            stacked={"crossattention.c_attn": 2},
            head_attributes={"crossattention.num_heads": "heads", "crossattention.split_size": "width"},
            config=FIELDS,
        ),
    ),
)
