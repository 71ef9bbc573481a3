"""What a training token of another component is worth: laws of XE, equivalents, exchange rates."""
