"""A visitor searches with wildcards that have more ways to fail than anybody can wait for."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.archive.matching import compile_test

DESCRIPTION = "CT THORAX ABDOMEN PELVIS WITH CONTRAST AND RECONSTRUCTIONS 3MM"
LONGEST_VALUE = 1500


@pytest.mark.parametrize("unit", ["*?", "*?*", "?*", "*E", "*T*?", "**?", "*??"])
@pytest.mark.parametrize(("vr", "value"), [("LO", DESCRIPTION), ("PN", {"Alphabetic": DESCRIPTION})])
def test_no_pattern_takes_long(vr: str, value: object, unit: str) -> None:
    begun = time.process_time()
    assert not compile_test(vr, unit * (LONGEST_VALUE // len(unit)) + "#")(value)
    assert not compile_test(vr, unit * 8 + "#")(value)
    assert time.process_time() - begun < 1


@given(st.text("ab*?", min_size=1, max_size=12).filter(lambda wanted: wanted.strip("*")), st.text("ab", max_size=12))
def test_wildcards_mean_what_they_mean_everywhere(wanted: str, value: str) -> None:
    assert compile_test("LO", wanted)(value) is fnmatch.fnmatchcase(value, wanted)
