"""DistilBERT: BERT's block under other names, without segments and without a pooler."""

from compress.core.families.family import Family

DISTILBERT = Family(
    model_type="distilbert",
    blocks="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    up="ffn.lin1",
    down="ffn.lin2",
    attention=("attention", "sa_layer_norm"),
    feed_forward_norm="output_layer_norm",
    embeddings="embeddings",
    word_embedding="embeddings.word_embeddings",
    position_embedding="embeddings.position_embeddings",
    config={"layers": "n_layers", "heads": "n_heads", "neurons": "hidden_dim", "hidden": "dim"},
)
