"""Every defect of the measurement that was found has a test that exists."""

from __future__ import annotations

import re

from project import ROOT


def test_the_tests_of_the_table_exist() -> None:
    page = (ROOT / "docs" / "measurement.md").read_text(encoding="utf-8")
    table = page.split("## Defects that were found")[1].split("\n## ")[0]
    tests = re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", table)
    assert len(tests) >= 16
    for file, name in tests:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), name
