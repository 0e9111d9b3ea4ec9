"""Named parts of a model's parameters: head, norms, biases, groups by depth."""
