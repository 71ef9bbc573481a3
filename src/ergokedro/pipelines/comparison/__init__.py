"""Finished experiments side by side."""

from ergokedro.pipelines.comparison.pipeline import create_pipeline

__all__ = ["create_pipeline"]
