"""The file of NLL arrays: nothing lost, equal bytes, damage found."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ergokedro.design.nll import ExactNLL, NLLArrays, check_measured, load_nll, save_nll
from ergokedro.design.records import ExactMeta, NLLFingerprints, NLLMeta
from ergokedro.errors import ErgokedroError


@pytest.fixture
def arrays() -> NLLArrays:
    """Two splits, with an infinity and a name that is no identifier."""
    rng = np.random.default_rng(0)
    nll = {
        "validation": rng.exponential(size=(3, 99)).astype(np.float32),
        "test/source-1": rng.exponential(size=(5, 99)).astype(np.float32),
    }
    nll["validation"][1, 2] = np.inf
    fingerprints = dict.fromkeys(NLLFingerprints.model_fields, "0f")
    meta = NLLMeta(
        run="k2",
        k=2,
        seed=0,
        components=["a", "ü"],
        fingerprints=NLLFingerprints(**fingerprints),
        versions={"torch": "2"},
    )
    return NLLArrays(nll, meta)


def test_arrays_survive_saving(tmp_path: Path, arrays: NLLArrays) -> None:
    save_nll(tmp_path / "deep" / "nll.npz", arrays)
    loaded = load_nll(tmp_path / "deep" / "nll.npz")
    assert loaded.meta == arrays.meta
    assert set(loaded.nll) == set(arrays.nll)
    for name, values in arrays.nll.items():
        assert loaded.nll[name].dtype == np.float32
        np.testing.assert_array_equal(loaded.nll[name], values)


def test_no_arrays_survive_saving(tmp_path: Path) -> None:
    save_nll(tmp_path / "nll.npz", ExactNLL({}, ExactMeta(available=False)))
    assert load_nll(tmp_path / "nll.npz") == ExactNLL({}, ExactMeta(available=False))


def test_equal_arrays_give_equal_bytes(tmp_path: Path, arrays: NLLArrays) -> None:
    reordered = NLLArrays(dict(reversed(list(arrays.nll.items()))), arrays.meta)
    save_nll(tmp_path / "a.npz", arrays)
    save_nll(tmp_path / "b.npz", reordered)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_damage_is_found(tmp_path: Path, arrays: NLLArrays) -> None:
    path = tmp_path / "nll.npz"
    save_nll(path, arrays)
    good = path.read_bytes()
    middle = good.index(arrays.nll["validation"].tobytes()) + 10
    flipped = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
    for bad in (b"", good[:-100], flipped):
        path.write_bytes(bad)
        with pytest.raises(ErgokedroError, match="kedro run --pipelines training"):
            load_nll(path)


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ErgokedroError, match="kedro run --pipelines training"):
        load_nll(tmp_path / "none.npz")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "nll.npz", meta=np.array([{}], dtype=object))
    with pytest.raises(ErgokedroError, match="no readable NLL arrays"):
        load_nll(tmp_path / "nll.npz")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
def test_files_do_not_stay_open(tmp_path: Path, arrays: NLLArrays) -> None:
    """A process may open 1,024 files; an analysis reads those of a thousand runs."""
    save_nll(tmp_path / "nll.npz", arrays)
    before = set(os.listdir("/proc/self/fd"))
    loaded = [load_nll(tmp_path / "nll.npz") for _ in range(20)]
    assert len(set(os.listdir("/proc/self/fd")) - before) < 20
    assert len(loaded) == 20


def test_a_file_that_is_replaced_keeps_its_arrays(tmp_path: Path, arrays: NLLArrays) -> None:
    save_nll(tmp_path / "nll.npz", arrays)
    loaded = load_nll(tmp_path / "nll.npz")
    others = {name: values + 1 for name, values in arrays.nll.items()}
    save_nll(tmp_path / "nll.npz", NLLArrays(others, arrays.meta))
    np.testing.assert_array_equal(loaded.nll["validation"], arrays.nll["validation"])
    (tmp_path / "nll.npz").unlink()
    np.testing.assert_array_equal(loaded.nll["validation"], arrays.nll["validation"])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_arrays_take_memory_only_while_they_are_used(tmp_path: Path, arrays: NLLArrays) -> None:
    large = {"test": np.ones((5_000, 99), dtype=np.float32)}
    save_nll(tmp_path / "nll.npz", NLLArrays(large, arrays.meta))
    loaded = load_nll(tmp_path / "nll.npz")
    used = loaded.nll["test"][1:]
    assert used.sum() == 4_999 * 99
    assert resident(tmp_path / "nll.npz") > 1_900
    del used
    assert resident(tmp_path / "nll.npz") < 200


def resident(path: Path) -> int:
    """Kilobytes of a mapped file that are in this process's memory."""
    sizes, in_file = 0, False
    for line in Path("/proc/self/smaps").read_text("utf-8").splitlines():
        if line.split()[0].count("-") == 1 and not line.split()[0].endswith(":"):
            in_file = line.endswith(str(path))
        elif in_file and line.startswith("Rss:"):
            sizes += int(line.split()[1])
    return sizes


def test_arrays_of_another_model_or_tokenizer_are_refused_with_the_command_for_that_run(
    arrays: NLLArrays,
) -> None:
    summary: Any = SimpleNamespace(run="subsets.c1_c3", final_weights="0f")
    tokenizer: Any = SimpleNamespace(fingerprint="0f")
    other: Any = SimpleNamespace(run="subsets.c1_c3", final_weights="1e")
    check_measured(arrays, summary, tokenizer)
    for given in ((other, tokenizer), (summary, SimpleNamespace(fingerprint="1e"))):
        with pytest.raises(ErgokedroError, match=r"kedro run --namespaces subsets\.c1_c3` with"):
            check_measured(arrays, *given)
