"""Architectures, their sizes and their loss."""
