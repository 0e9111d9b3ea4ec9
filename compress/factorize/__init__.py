"""Low-rank factorization of linears and embedding matrices."""
