"""BERT and the families that keep its block: RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA."""

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
    embeddings="embeddings",
    word_embedding="embeddings.word_embeddings",
    position_embedding="embeddings.position_embeddings",
)
ROBERTA = replace(BERT, model_type="roberta")
XLM_ROBERTA = replace(BERT, model_type="xlm-roberta")
CAMEMBERT = replace(BERT, model_type="camembert")
ELECTRA = replace(BERT, model_type="electra")
