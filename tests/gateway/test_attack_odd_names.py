"""An archive describes its studies in what is no DICOM JSON, and the visit's page is shown all the same."""

from __future__ import annotations

from typing import Any

import pytest

from keyhole.gateway.visiting import Shown
from tests.gateway.gate import HERE, Gate

ODD = {
    "text for an element": "text",
    "a list for an element": ["text"],
    "an object for values": {"vr": "LO", "Value": {"a": 1}},
    "a number for values": {"vr": "LO", "Value": 5},
    "a number of thousands of digits": {"vr": "IS", "Value": ["9" * 5000]},
    "half of a character": {"vr": "LO", "Value": ["\ud800"]},
    "a list in a list": {"vr": "LO", "Value": [[[]]]},
}


@pytest.mark.parametrize("tag", ["00080020", "00081030", "00080060", "0008103E", "00201209"])
@pytest.mark.parametrize("element", ODD.values(), ids=ODD)
async def test_the_page_is_made(tag: str, element: Any) -> None:
    gate = Gate()
    for item in gate.archive.instances:
        item[tag] = element
    visitor = await gate.visitor()
    headers = [(name.encode(), value.encode()) for name, value in visitor.cookie.items()]
    shown = await gate.openings.shown(visitor.visit.id, headers, HERE)
    assert isinstance(shown, Shown)
    assert all((series.images or 0) < 10**9 for study in shown.studies for series in study.series)
    repr(shown).encode()
