"""Controls: runs beside the chain K = 1, 2, ..., for questions that the chain alone cannot answer.

One module per control. The order of the imports is the order of their runs and sentences.
"""

from ergokedro.analysis.controls import draws, growing, pseudo, seeds, specialists, subsets
from ergokedro.analysis.controls.control import (
    CONTROLS,
    Control,
    Setting,
    all_settings,
    control_rows,
    plan_experiment,
    read_settings,
)

for control in (specialists, subsets, growing, pseudo, draws, seeds):
    CONTROLS.register(control.CONTROL.name, control.CONTROL)

__all__ = [
    "CONTROLS",
    "Control",
    "Setting",
    "all_settings",
    "control_rows",
    "plan_experiment",
    "read_settings",
]
