"""Kedro datasets that the ecosystem lacks: thin wrappers around the domain modules' files."""
