"""The change that stores linears in 8 or 4 bits; the linears themselves are in `compress.core.low_bit`."""
