"""Causal language models of the package transformers, from random weights."""
