"""Seeds: how much two runs on the same text differ by chance."""

from __future__ import annotations

from ergokedro.analysis.controls.control import Setting
from ergokedro.analysis.controls.replication import Replication
from ergokedro.design.runs import Run


class Seeds(Replication):
    """Other initial weights and another order of the same training text."""

    name = "seeds"
    series = "seeds"
    title = "chain, each seed"
    settings = (
        Setting(
            "seeds",
            int,
            1,
            "Number of seeds, `seed`, `seed` + 1, ..., of the chain, the sets of components and "
            "the pseudo-components, in every draw.",
            {"ge": 1, "le": 99},
        ),
    )
    varied, fixed, spread = "seed_offset", "draw", "seed_spread"

    def count(self, runs: list[Run]) -> dict[str, int]:
        """The number of seeds."""
        return {"seeds": len(runs)}


CONTROL = Seeds()
