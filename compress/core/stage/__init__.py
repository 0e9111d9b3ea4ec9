"""What every stage promises: requirements, declaration, run; and what it may touch and show."""
