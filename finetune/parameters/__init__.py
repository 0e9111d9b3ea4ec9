"""Named parts of the parameters (head, norms, biases), and groups by depth: layer-wise rates, gradual unfreezing."""
