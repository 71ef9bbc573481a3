"""How in-context cross entropy scales with the number of ergodic components."""

import os

__version__ = "0.1.0"

# Kedro and MLflow report usage to their makers unless told otherwise; research
# machines are often offline or private, so the default here is silence.
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# OpenMP's threads spin while they wait for each other. On a machine that does anything else
# besides, a thread that spins keeps the one that it waits for off the processor: training was
# seen to slow down tenfold beside one busy process. Must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
