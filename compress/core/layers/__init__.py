"""Code that is copied into saved directories and opens them there: it imports torch and transformers alone."""
