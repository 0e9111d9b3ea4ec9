"""Linears of 8 and 4 bits (int8, NF4, FP4): packing, products, gradients, saving."""
