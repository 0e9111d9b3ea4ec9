"""Vocabulary trimming: which tokens stay, and the tokenizer; rows are cut by `compress.core.surgery.embeddings`."""
