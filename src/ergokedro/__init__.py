"""How in-context cross entropy scales with the number of ergodic components."""

import os

__version__ = "0.1.0"

# Kedro, MLflow and Ray report usage to their makers unless told otherwise; research machines are
# often offline or private, so the default here is to report nothing.
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# MLflow prints two lines for every run that ends, with characters that not every terminal has.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
