"""The `k` setting."""

import pytest

from ergokedro.analysis.controls import plan_experiment
from ergokedro.design.runs import Run, chain, find_run, run_name
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import parse_k


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("all", [1, 2, 3, 4, 5]),
        (3, [3]),
        ("3", [3]),
        ("2-4", [2, 3, 4]),
        ("1+3", [1, 3]),
        ("5+1-2+2", [1, 2, 5]),
        (7, [7]),
    ],
)
def test_accepted_forms(value: int | str, expected: list[int]) -> None:
    assert parse_k(value, 5) == expected


@pytest.mark.parametrize("value", [0, -1, "x", "", "1,2", "4-2", "1+", "0-3", 65, "1.5", "k3"])
def test_refused_forms_name_the_setting_and_the_value(value: int | str) -> None:
    with pytest.raises(ErgokedroError, match=r"^k = ") as error:
        parse_k(value, 5)
    assert repr(value) in error.value.message


def test_run_name() -> None:
    assert run_name(3) == "k3"


SETTINGS = {"specialists": True, "subsets": True, "growing": True, "pseudo": True, "seeds": 2}


def test_without_controls_the_plan_is_the_chain() -> None:
    assert plan_experiment([1, 3], 5, {}) == [chain(1), chain(3)]
    assert chain(3) == Run("k3", (1, 2, 3), 3)
    assert chain(3).in_chain


def test_specialists_for_one_k() -> None:
    runs = plan_experiment([2], 5, {"specialists": True})
    assert [(run.name, run.components, run.divisor) for run in runs] == [
        ("k2", (1, 2), 2),
        ("specialists.c1_of1", (1,), 1),
        ("specialists.c2_of1", (2,), 1),
        ("specialists.c1_of2", (1,), 2),
        ("specialists.c2_of2", (2,), 2),
    ]


def test_matched_steps_repeat_the_epochs() -> None:
    runs = plan_experiment([1, 3], 5, {"specialists": True, "match_steps": True})
    assert {run.divisor: run.repeats for run in runs if "specialists" in run.name} == {1: 1, 3: 3}


def test_all_controls_train_nothing_twice() -> None:
    runs = plan_experiment([1, 2, 3], 3, SETTINGS)
    content = [run.recipe for run in runs]
    assert len(set(content)) == len(runs)
    assert len({run.name for run in runs}) == len(runs)
    assert [run.name for run in runs[:4]] == ["k1", "k2", "k3", "specialists.c2_of1"]
    names = {run.name for run in runs}
    # K = 1 is the specialist of component 1, {1, 2} the chain's, growing at its largest K too.
    assert not {"specialists.c1_of1", "subsets.c1_c2", "growing.k3", "pseudo.k1"} & names
    assert "growing.k1" not in names  # the specialist of component 1 at D / 3
    assert {"subsets.c1_c3", "subsets.c2_c3", "growing.k2", "pseudo.k3", "seeds.k2_seed1"} <= names
    assert find_run(runs, Run("any", (1, 2), 2)) == chain(2)
    assert find_run(runs, Run("any", (1, 2), 7)) is None


def test_all_subsets_are_there() -> None:
    runs = plan_experiment([1, 2, 3, 4, 5], 5, {"subsets": True})
    assert len(runs) == 31
    assert len({run.components for run in runs}) == 31
    assert all(run.divisor == len(run.components) for run in runs)
