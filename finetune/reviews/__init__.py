"""The grammar of the demonstration's reviews: opinion words, clauses, and whole sentences with their label."""
