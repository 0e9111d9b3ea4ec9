"""Reading a model: its bundle and sketch, its linears by role, embeddings, masks, sharing, precision."""
