"""Draws: how much two runs differ by chance because they are trained on other documents."""

from __future__ import annotations

from ergokedro.analysis.controls.control import Setting
from ergokedro.analysis.controls.replication import Replication


class Draws(Replication):
    """Other samples of every component's training documents.

    Where a component is too short for disjoint draws, they have text in common and differ less
    than independent ones; `overlap` in their manifests says how much.
    """

    name = "draws"
    series = "draws"
    title = "chain, each draw"
    settings = (
        Setting(
            "draws",
            int,
            1,
            "Number of draws of every component's training documents, disjoint where it has "
            "enough of them, for the chain and all controls but the growing total. Held-out text "
            "stays the same.",
            {"ge": 1, "le": 99},
        ),
    )
    varied, fixed, spread = "draw", "seed_offset", "draw_spread"


CONTROL = Draws()
