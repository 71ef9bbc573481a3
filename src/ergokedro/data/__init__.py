"""Corpus to token store: sources, cleaning, tokenizer, store, and the hidden Markov sources."""
