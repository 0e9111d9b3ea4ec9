"""ViT and DeiT: images. Uniformly pruned heads stay stock, since the configuration has the size of a head."""

from dataclasses import replace

from compress.core.families.family import Family

VIT = Family(
    model_type="vit",
    blocks="layers",
    query="attention.q_proj",
    key="attention.k_proj",
    value="attention.v_proj",
    output="attention.o_proj",
    up="mlp.fc1",
    down="mlp.fc2",
    attention=("layernorm_before", "attention"),
    embeddings="embeddings",
    config={
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "neurons": "intermediate_size",
        "hidden": "hidden_size",
        "head_size": "head_dim",
    },
    refusals={
        "vocabulary": "its inputs are images, not tokens",
        "positions": "they are those of the patches, and every image has all patches",
    },
)
DEIT = replace(VIT, model_type="deit", leading_tokens=2)
