"""From NLL arrays to tables, figures and the report; never needs a model."""

from ergokedro.pipelines.analysis.pipeline import create_pipeline

__all__ = ["create_pipeline"]
