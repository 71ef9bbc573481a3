"""The points of a grid, and their settings."""

from __future__ import annotations

import pytest

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import GridParameters, Parameters, validate_parameters
from ergokedro.runtime.grid import Point, _merge, grid_points


def test_every_total_with_every_size() -> None:
    grid = GridParameters(total_tokens=[2000, 1000, 2000], presets=["tiny", "micro"])
    points = grid_points(Parameters(grid=grid))
    assert points == [
        Point(1000, "tiny"), Point(2000, "tiny"), Point(1000, "micro"), Point(2000, "micro"),
    ]  # fmt: skip
    names = [point.experiment("mine") for point in points]
    assert names[0] == "mine-D1000-tiny"
    assert len(set(names)) == 4


def test_what_is_not_in_the_grid_keeps_its_own_value() -> None:
    (point,) = grid_points(Parameters(grid=GridParameters(presets=["tiny"])))
    assert point == Point(None, "tiny")
    assert "mixture" not in point.settings("mine")
    (alone,) = grid_points(Parameters())
    assert "model" not in alone.settings("mine")


def test_a_point_is_an_experiment_of_its_own_on_the_grids_text() -> None:
    settings = {"k": "1-2", "mixture": {"top_n": 2}, "grid": {"total_tokens": [1000, 2000]}}
    merged = _merge(settings, Point(1000, "tiny").settings("mine"))
    params = validate_parameters(merged)
    assert (params.experiment, params.shared_data) == ("mine-D1000-tiny", "mine")
    assert (params.mixture.total_tokens, params.mixture.top_n) == (1000, 2)
    assert params.model.preset == "tiny"
    assert (params.grid.total_tokens, params.k) == ([], "1-2")
    assert settings["grid"] == {"total_tokens": [1000, 2000]}


@pytest.mark.parametrize("wrong", [{"total_tokens": [10]}, {"total_tokens": 1000}, {"sizes": []}])
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ErgokedroError, match=r"grid\."):
        validate_parameters({"grid": wrong})
