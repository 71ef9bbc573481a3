"""The `k` setting."""

import pytest

from ergokedro.errors import ErgokedroError
from ergokedro.runs import parse_k, run_name


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
