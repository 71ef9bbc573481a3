"""The four pipelines, in order: data_processing, mixture_design, training, analysis."""
