"""A run: stages executed, measured, kept, reused and resumed; budgets."""
