"""Whoever holds one link opens it again and again, and reads as slowly as can be."""

from __future__ import annotations

from tests.gateway.gate import FRAME, OK, SECOND, Gate
from tests.gateway.small_archive import endless


async def test_all_visits_of_one_link_together_leave_the_archive_to_others() -> None:
    gate = Gate()
    share, other = await gate.share((OK,)), await gate.visitor((SECOND,))
    gate.archive.answers[FRAME] = endless()
    hogs = [gate.read(await gate.open(share), FRAME) for _ in range(3 * gate.at_once)]
    for hog in hogs[: gate.at_once]:
        await hog.until(1000)
    assert gate.archive.under_way == gate.at_once
    assert (await gate.get(other, f"/studies/{SECOND}/metadata")).status == 200
    for hog in hogs:
        hog.leave()
        await hog.over()
    assert (len(gate.streams), gate.archive.under_way) == (0, 0)
    assert (await gate.get(await gate.open(share), f"/studies/{OK}/metadata")).status == 200
