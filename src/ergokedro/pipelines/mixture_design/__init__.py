"""Token store to manifests."""

from ergokedro.pipelines.mixture_design.pipeline import create_pipeline

__all__ = ["create_pipeline"]
