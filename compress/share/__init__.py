"""Parameter sharing between layers, and the conversion of a BERT to an ALBERT."""
