"""How a model gets from random weights to NLL arrays."""
