# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Results, and questions of your own
#
# This notebook opens the catalog of a finished experiment and draws the headline figure from
# `results.parquet`. It then answers two questions that the report does not answer: one from the
# table of results, one from the stored NLL arrays. No model is needed.
#
# For an experiment other than the default, start Jupyter with `KEDRO_ENV` set, such as
# `KEDRO_ENV=arxiv jupyter lab`.

# %%
# %matplotlib inline
from pathlib import Path

import pandas as pd
from IPython.display import display
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from ergokedro.analysis.series import selections
from ergokedro.parameters import AnalysisParameters
from ergokedro.reporting.figures import FIGURES

root = find_kedro_project(Path.cwd())
if root is None:
    raise RuntimeError(f"{Path.cwd()} is not inside the project; start Jupyter there.")
bootstrap_project(root)
with KedroSession.create(project_path=root) as session:
    catalog = session.load_context().catalog

# %% [markdown]
# ## The headline figure
#
# Every number of the report is a row of one table. `docs/measurement.md` defines its quantities,
# series and columns.

# %%
results = catalog.load("results")
display(results.sample(5, random_state=0))
display(FIGURES["xe_by_k"].static(results))

# %% [markdown]
# ## A question for the table: on which component does a larger K cost most?
#
# Choose rows by quantity, series and split; `position` 0 is the mean over the window. Compare only
# numbers of the same series. Do not subtract the intervals of two values: the windows are the same,
# so the difference has its own, narrower interval (next question).

# %%
xe = results[
    (results.quantity == "xe")
    & (results.series == "component")
    & (results.split == "test")
    & results.trained
]
by_component = xe.pivot(index="component", columns="k", values="value")
cost = (by_component.T - by_component.T.bfill().iloc[0]).T
display(cost.style.format("{:+.4f}", na_rep="").set_caption("XE minus XE at the lowest K, nats"))

# %% [markdown]
# ## A question for the arrays: does a larger K cost more early or late in the window?
#
# The NLL of every held-out window at every position is stored for each run. Any mean over windows
# can get its interval in the same way as the numbers of the report.

# %%
split = "test"
windows = catalog.load("evaluation_windows")
windows = windows[windows.split == split].reset_index(drop=True)
design = catalog.load("design")
params = AnalysisParameters.model_validate(catalog.load("params:analysis"))
ks = xe.k.unique()
few, many = (catalog.load(f"k{k}.nll").nll[split] for k in (ks.min(), ks.max()))
difference = many - few

# On the smallest component, which every K was trained on.
series = selections(windows, split, design, trained=design.components)
smallest = next(selection for selection in series if selection.series == "smallest")
middle = difference.shape[1] // 2
halves = {"first half": difference[:, :middle], "second half": difference[:, middle:]}
answer = {name: smallest.mean(half, params).interval for name, half in halves.items()}
display(pd.DataFrame(answer, index=["value", "low", "high", "standard_error"]).T)

# %% [markdown]
# `selections` also gives the series `chain`, `all` and one for each component.
# `smallest.estimate` takes several runs with their draws and seeds, and combines the chance of all.
