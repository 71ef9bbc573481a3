"""What the NLL arrays say; never needs a model."""
