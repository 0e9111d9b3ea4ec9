"""BERT and the families that keep its block: RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA; MPNet with names of its own."""

from dataclasses import replace

from compress.core.families.family import Family

BERT = Family(
    model_type="bert",
    blocks="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    up="intermediate.dense",
    down="output.dense",
    attention=("attention",),
    feed_forward_norm="output.LayerNorm",
    embeddings="embeddings",
    word_embedding="embeddings.word_embeddings",
    segment_embedding="embeddings.token_type_embeddings",
    position_embedding="embeddings.position_embeddings",
)
ROBERTA = replace(BERT, model_type="roberta", positions_from_padding=True)
XLM_ROBERTA = replace(ROBERTA, model_type="xlm-roberta")
CAMEMBERT = replace(ROBERTA, model_type="camembert")
ELECTRA = replace(BERT, model_type="electra", config={**BERT.config, "same_width": "embedding_size"})
MPNET = replace(
    BERT,
    model_type="mpnet",
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    output="attention.attn.o",
    head_attributes={"attention.attn.num_attention_heads": "heads", "attention.attn.all_head_size": "width"},
    segment_embedding=None,
    positions_from_padding=True,
    padding_id=1,
    one_set_of_heads=True,
    shared_head_table="encoder.relative_attention_bias",
)
