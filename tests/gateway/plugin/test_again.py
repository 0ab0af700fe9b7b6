"""The same question for image after image: answered from what is known, and never when anything of that has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.decision import Event
from keyhole.access.share import Share, ShareChange
from keyhole.errors import StoreFailed
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.question import Question
from keyhole.gateway.plugin.validator import Granted, Verdict
from keyhole.sharing.link import KeyRing
from tests.gateway.plugin.world import OK, World, name

YES = Verdict(granted=True, validity=1)


async def granted(world: World, share: Share, **more: Any) -> Granted:
    values = {"method": "get", "level": "study", "dicom_uid": OK, "orthanc_id": name(OK)} | more
    verdict, found = await world.validator.answer(world.caller, Question(**values, token_value=world.token(share)))
    assert verdict.granted
    assert found is not None
    return found


def world() -> World:
    made = World()
    made.gate.current._monotonic = time.monotonic  # what is held in memory may be relied on
    return made


async def ready(here: World) -> tuple[Share, Granted]:
    share = await here.share()
    found = await granted(here, share)
    await here.gate.current.confirm()
    await here.gate.current.share(share.id)
    return share, await granted(here, share) or found


async def test_what_was_granted_is_granted_again_and_counted() -> None:
    here = world()
    _, found = await ready(here)
    assert [here.validator.again(here.caller, found) for _ in range(3)] == [YES] * 3
    access, count = await here.gate.trail(Event.ACCESS, Event.COUNT)
    assert (access.study, count.times) == (OK, 5)


async def test_another_caller_is_answered_from_the_beginning() -> None:
    here = world()
    _, found = await ready(here)
    assert here.validator.again(Caller(name="orthanc", archive="main"), found) is None


async def _withdrawn(here: World, share: Share) -> None:
    await here.withdraw(share)
    here.gate.current._confirm(await here.gate.store.generation())


async def _renewed(here: World, share: Share) -> None:
    record = (await here.gate.trail())[0]
    await here.gate.store.change_share(share.id, ShareChange(new_link_key=here.gate.ring.current), record)
    here.gate.current._confirm(await here.gate.store.generation())


async def _something_else_changed(here: World, _: Share) -> None:
    await here.share()
    here.gate.current._confirm(await here.gate.store.generation())


async def _over(here: World, share: Share) -> None:
    here.gate.now = share.expires_at


async def _nothing_confirmed(here: World, _: Share) -> None:
    here.gate.current._monotonic = lambda: time.monotonic() + 2


async def _other_keys(here: World, _: Share) -> None:
    kind = here.tokens.kinds[0]
    object.__setattr__(kind, "ring", KeyRing.new())


async def _trail_lost(here: World, _: Share) -> None:
    here.gate.store.lost = StoreFailed("gone")
    with pytest.raises(StoreFailed):
        await here.gate.ledger.flush()


@pytest.mark.parametrize(
    "change", [_withdrawn, _renewed, _something_else_changed, _over, _nothing_confirmed, _other_keys, _trail_lost]
)
async def test_nothing_is_granted_again_from_what_has_changed(change: Callable[[World, Share], Any]) -> None:
    here = world()
    share, found = await ready(here)
    assert here.validator.again(here.caller, found) == YES
    await change(here, share)
    assert here.validator.again(here.caller, found) is None


async def test_no_yes_that_is_given_again_outlasts_its_share() -> None:
    here = world()
    share, found = await ready(here)
    here.gate.now = share.expires_at - timedelta(milliseconds=500)
    assert here.validator.again(here.caller, found) == Verdict(granted=True, validity=0)


async def test_the_same_bytes_are_answered_as_things_stand_now() -> None:
    here = world()
    share, _ = await ready(here)
    question = {"method": "get", "level": "study", "dicom-uid": OK, "token-value": here.token(share)}
    for _ in range(3):
        assert (await here.post("tokens/validate", question)).json() == {"granted": True, "validity": 1}
    await _withdrawn(here, share)
    for _ in range(2):
        assert (await here.post("tokens/validate", question)).json() == {"granted": False, "validity": 1}
