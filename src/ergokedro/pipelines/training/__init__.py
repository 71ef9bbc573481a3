"""One model per K, trained and evaluated."""

from ergokedro.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
