"""The `k` setting, and the runs that settings ask for."""

import os
import subprocess
import sys
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ergokedro.analysis.controls import plan_experiment, read_settings
from ergokedro.analysis.controls.subsets import all_sets, cyclic_sets, is_balanced
from ergokedro.design.runs import Run, chain, find_run, repeat_run, run_name
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


SETTINGS = {
    "specialists": True,
    "specialist_form": "epochs",
    "subsets": True,
    "growing": True,
    "pseudo": True,
    "seeds": 2,
}


def test_without_controls_the_plan_is_the_chain() -> None:
    assert plan_experiment([1, 3], 5, {}) == [chain(1), chain(3)]
    assert chain(3) == Run("k3", (1, 2, 3), 3)
    assert chain(3).in_chain


def test_specialists_for_one_k() -> None:
    runs = plan_experiment([2], 5, {"specialists": True, "specialist_form": "epochs"})
    assert [(run.name, run.components, run.divisor) for run in runs] == [
        ("k2", (1, 2), 2),
        ("specialists.c1_of1", (1,), 1),
        ("specialists.c2_of1", (2,), 1),
        ("specialists.c1_of2", (1,), 2),
        ("specialists.c2_of2", (2,), 2),
    ]


def specialist_repeats(**settings: object) -> dict[int, list[float]]:
    """Divisor of D -> multiples of the epochs, of the specialists of the third component."""
    runs = plan_experiment([1, 3], 3, {"specialists": True, "specialist_form": "grid", **settings})
    found: dict[int, list[float]] = {}
    for run in runs:
        if run.components == (3,):
            found.setdefault(run.divisor, []).append(run.repeats)
    return found


def test_specialists_try_several_numbers_of_epochs() -> None:
    assert specialist_repeats() == {1: [0.5, 1, 2], 3: [0.5, 1, 2]}
    assert specialist_repeats(specialist_epochs="2+1") == {1: [1, 2], 3: [1, 2]}
    assert specialist_repeats(specialist_epochs=2, specialist_sizes="6+12") == {
        1: [2], 3: [2], 6: [2], 12: [2],
    }  # fmt: skip
    assert specialist_repeats(specialist_form="epochs") == {1: [1], 3: [1]}
    assert specialist_repeats(specialist_form="steps") == {1: [1], 3: [3]}
    # A whole number stays one, since the fingerprint of a manifest tells 1 from 1.0.
    assert [type(n) for n in specialist_repeats()[1]] == [float, int, int]


def test_specialists_try_each_rate_with_each_number_of_epochs() -> None:
    settings = {"specialists": True, "specialist_form": "grid"}
    settings |= {"specialist_epochs": "1+2", "specialist_rates": "0.5+1"}
    runs = plan_experiment([1, 3], 1, settings)
    assert [(r.name, r.repeats, r.rate) for r in runs if r.divisor == 3 and r.k == 1][:4] == [
        ("specialists.c1_of3_r0p5", 1, 0.5),
        ("specialists.c1_of3", 1, 1),
        ("specialists.c1_of3_x2_r0p5", 2, 0.5),
        ("specialists.c1_of3_x2", 2, 1),
    ]
    at_d = [r.name for r in runs if r.divisor == 1 and r.components == (1,)]
    assert at_d[0] == "k1"  # the chain's K = 1 is the specialist of its epochs and its rate
    assert len(at_d) == 4


def test_names_of_specialists_have_no_dot_of_their_own() -> None:
    settings = {"specialists": True, "specialist_sizes": 8}
    runs = plan_experiment([1], 1, {**settings, "specialist_form": "grid"})
    assert [run.name for run in runs] == [
        "k1", "specialists.c1_of1_x0p5", "specialists.c1_of1_x2",
        "specialists.c1_of8_x0p5", "specialists.c1_of8", "specialists.c1_of8_x2",
    ]  # fmt: skip
    runs = plan_experiment([1], 1, {**settings, "specialist_rates": "0.5+1"})
    assert [run.name for run in runs] == [
        "k1", "specialists.c1_of1_best_r0p5", "specialists.c1_of1_best",
        "specialists.c1_of8_best_r0p5", "specialists.c1_of8_best",
    ]  # fmt: skip


def test_the_best_number_of_epochs_is_found_in_one_run_of_each_size() -> None:
    runs = plan_experiment([1, 3], 3, {"specialists": True, "specialist_epochs": "1+4"})
    found = [run for run in runs if run.search]
    assert [(run.components, run.divisor) for run in found] == [
        ((1,), 1), ((2,), 1), ((3,), 1), ((1,), 3), ((2,), 3), ((3,), 3),
    ]  # fmt: skip
    assert {run.repeats for run in found} == {4}  # the most
    assert not {run.search for run in runs if not run.control} - {False}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("specialist_epochs", v) for v in ("", "1,2", "0+1", "-1", "nan", "inf")]
    + [("specialist_rates", v) for v in ("", "0", "half")]
    + [("specialist_sizes", v) for v in ("0", "1.5", "x", "2+", -3)],
)
def test_specialists_that_cannot_be_planned(setting: str, value: object) -> None:
    with pytest.raises(ErgokedroError, match=rf"^controls\.{setting} = ") as error:
        plan_experiment([1], 1, {"specialists": True, setting: value})
    assert repr(value) in error.value.message


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


@given(n=st.integers(1, 20))
def test_cyclic_sets_are_balanced(n: int) -> None:
    sets = cyclic_sets(n)
    assert len(set(sets)) == len(sets) == n * (n - 1) + 1
    for size in range(1, n + 1):
        of_size = [members for members in sets if len(members) == size]
        assert len(of_size) == (n if size < n else 1)
        assert is_balanced(of_size, n)
        assert all(set(members) <= set(range(1, n + 1)) for members in of_size)
        assert tuple(range(1, size + 1)) in of_size  # the chain's
        assert not is_balanced(of_size[1:], n)
        assert n < 2 or not is_balanced([*of_size, of_size[0]], n) or size == n


@given(n=st.integers(1, 9))
def test_all_sets_are_balanced(n: int) -> None:
    sets = all_sets(n)
    assert len(set(sets)) == len(sets) == 2**n - 1
    assert set(cyclic_sets(n)) <= set(sets)
    for size in range(1, n + 1):
        assert is_balanced([members for members in sets if len(members) == size], n)


def test_cyclic_subsets_are_planned() -> None:
    runs = plan_experiment([1, 2, 3, 4], 4, {"subsets": "cyclic"})
    assert len(runs) == 4 * 3 + 1
    assert {run.components for run in runs} == set(cyclic_sets(4))
    assert all(run.divisor == len(run.components) for run in runs)
    eleven = plan_experiment(list(range(1, 12)), 11, {"subsets": "cyclic"})
    assert len(eleven) == 111
    some = plan_experiment([1, 2, 5, 11], 11, {"subsets": "cyclic"})
    assert {run.components for run in some} == {
        s for s in cyclic_sets(11) if len(s) in (1, 2, 5, 11)
    }


def test_subsets_are_true_false_or_cyclic() -> None:
    assert read_settings({"subsets": "cyclic"})["subsets"] == "cyclic"
    assert read_settings({"subsets": True})["subsets"] is True
    assert read_settings({})["subsets"] is False
    with pytest.raises(ErgokedroError) as error:
        read_settings({"subsets": "some"})
    (line,) = error.value.message.splitlines()[1:]
    assert line.startswith("  controls.subsets = 'some': ")
    assert "'cyclic'" in line


def test_every_draw_has_every_number_of_a_seed() -> None:
    runs = plan_experiment([1, 3], 3, {"draws": 3, "seeds": 2})
    combinations = [(run.base, run.draw, run.seed_offset) for run in runs]
    assert set(combinations) == set(product([chain(k).recipe for k in (1, 3)], range(3), range(2)))
    assert len(runs) == 12
    assert [run.name for run in runs[:7]] == [
        "k1", "k3", "seeds.k1_seed1", "seeds.k3_seed1",
        "draws.k1_draw1", "draws.k3_draw1", "draws.k1_draw1_seed1",
    ]  # fmt: skip
    assert {run.draws for run in runs if run.draw} == {3}
    assert {run.draws for run in runs if not run.draw} == {1}


@pytest.mark.parametrize("subsets", [True, "cyclic"])
def test_what_is_repeated(subsets: bool | str) -> None:
    """Chain, sets and pseudo-components by draws and seeds; specialists by draws; growing not."""
    once = {
        "specialists": True,
        "subsets": subsets,
        "growing": True,
        "pseudo": True,
    }
    once["specialist_form"] = "epochs"
    ks, n = [1, 2, 3, 4], 4
    base = plan_experiment(ks, n, once)
    runs = plan_experiment(ks, n, {**once, "draws": 2, "seeds": 3})
    assert runs[: len(base)] == base
    assert len({run.recipe for run in runs}) == len({run.name for run in runs}) == len(runs)
    crossed = {run.recipe for run in base if run.divisor == run.k}
    drawn = {run.recipe for run in base if run.control == "specialists"} - crossed
    repeats = [(run.base, run.draw, run.seed_offset) for run in runs[len(base) :]]
    expected = {
        (recipe, draw, seed)
        for recipe in crossed | drawn
        for draw, seed in product(range(2), range(3))
        if (draw or seed) and (recipe in crossed or not seed)
    }
    assert set(repeats) == expected
    names = {run.name for run in runs}
    assert {
        "draws.k2_draw1",
        "draws.k2_draw1_seed2",
        "seeds.k2_seed2",
        "subsets.c2_c3_draw1_seed1",
        "specialists.c3_of4_draw1",
        "specialists.c2_of1_seed1",  # it is a set, too
        "pseudo.k3_seed1",
    } <= names
    assert not {"subsets.c1_c2_draw1", "specialists.c3_of4_seed1", "growing.k2_draw1"} & names


def test_a_repeat_is_the_same_run_by_chance_alone() -> None:
    run = Run("c1_c3", (1, 3), 2, control="subsets")
    assert repeat_run(run, 0, 4, 0) == run
    repeat = repeat_run(run, 2, 4, 1)
    assert (repeat.name, repeat.draw, repeat.draws, repeat.seed_offset) == (
        "subsets.c1_c3_draw2_seed1", 2, 4, 1,
    )  # fmt: skip
    assert repeat.base == run.base == run.recipe
    assert repeat.recipe != run.recipe
    assert (repeat.k, repeat.in_chain) == (2, False)
    # A seed alone leaves the text as it is, whatever the number of draws.
    assert repeat_run(run, 0, 4, 1).recipe == repeat_run(run, 0, 2, 1).recipe


def test_the_plan_is_the_same_in_every_process() -> None:
    code = (
        "from ergokedro.analysis.controls import plan_experiment; "
        "print(plan_experiment([1, 2, 3], 4, {'subsets': 'cyclic', 'draws': 2, 'seeds': 2}))"
    )
    settings = {"subsets": "cyclic", "draws": 2, "seeds": 2}
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert printed.strip() == str(plan_experiment([1, 2, 3], 4, settings))
