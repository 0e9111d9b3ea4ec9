"""T5 and BART: the stages work on the encoder."""

from compress.core.families.family import Family

T5 = Family(
    model_type="t5",
    blocks="encoder.block",
    query="layer.0.SelfAttention.q",
    key="layer.0.SelfAttention.k",
    value="layer.0.SelfAttention.v",
    output="layer.0.SelfAttention.o",
    up="layer.1.DenseReluDense.wi|layer.1.DenseReluDense.wi_1",
    gate="layer.1.DenseReluDense.wi_0",
    down="layer.1.DenseReluDense.wo",
    head_attributes={"layer.0.SelfAttention.n_heads": "heads", "layer.0.SelfAttention.inner_dim": "width"},
    needs_first_layer="it holds the position bias that all use",
    one_set_of_heads=True,
    shared_head_table="encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
    embeddings="shared",
    encoder="encoder",
    decoder="decoder",
    leading_tokens=0,
    word_embedding="shared",
    bare_linears=True,
    remark="the stages work on the encoder; the decoder stays as it is",
    # The decoder reads the same fields for its own heads and neurons, so the encoder's are not written there.
    config={"layers": "num_layers", "heads": "num_heads", "hidden": "d_model"},
    refusals={"positions": "its attention reads how far tokens are from each other, out of a table of a few distances"},
)
BART = Family(
    model_type="bart",
    blocks="encoder.layers",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    output="self_attn.out_proj",
    up="fc1",
    down="fc2",
    feed_forward_norm="final_layer_norm",
    embeddings="encoder.embed_tokens",
    encoder="encoder",
    decoder="decoder",
    word_embedding="shared",
    position_embedding="encoder.embed_positions",
    decoder_positions="decoder.embed_positions",
    position_offset=2,
    remark=T5.remark,
    config={
        "layers": "encoder_layers",
        "heads": "encoder_attention_heads",
        "neurons": "encoder_ffn_dim",
        "hidden": "d_model",
    },
)
