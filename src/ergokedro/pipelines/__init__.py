"""The pipelines of an experiment, in order: data_processing, mixture_design, training, analysis.

The fifth, comparison, reads the files of several finished experiments.
"""
