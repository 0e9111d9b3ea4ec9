"""Recovery on raw text by masked-language modelling and sentence order."""
