"""What a token is: for the Explorer's landing page, and for Orthanc when its holder searches."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.decision import Event
from keyhole.access.resource import Resource
from keyhole.access.share import Share
from keyhole.errors import StoreFailed
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.reader import Told, Unusable
from keyhole.sharing.address import Addresses
from keyhole.sharing.link import KeyRing
from keyhole.sharing.token import TYPES, Opens
from tests.gateway.gate import OK, SECOND, SERIES
from tests.gateway.plugin.world import INSTANT, OHIF_URL, PAGE, World, name, trusted

DIRECT = dict.fromkeys(TYPES, Opens.DIRECT)


async def read(world: World, share: Share | str) -> Told:
    return await world.reader.read(world.caller, share if isinstance(share, str) else world.token(share))


async def test_a_bearer_names_what_it_opens_by_both_names() -> None:
    world = World()
    told = await read(world, await world.share((OK,), (SECOND,)))
    assert told == Told(
        token_type=INSTANT,
        resources=((Resource.of("main", OK), name(OK)), (Resource.of("main", SECOND), name(SECOND))),
    )


async def test_a_viewers_own_link_leads_there() -> None:
    world = World(caller=trusted(), types=DIRECT)
    share = await world.share(token_type=PAGE)
    told = await read(world, f"Bearer {world.token(share)}")
    assert told.address == f"{OHIF_URL}/viewer?StudyInstanceUIDs={OK}&token={world.token(share)}"
    assert [name for _, name in told.resources] == [name(OK)]


async def test_where_that_has_no_address_any_more_the_page_is_left() -> None:
    world = World(caller=trusted(), types=DIRECT, addresses=Addresses())
    share = await world.share(token_type=PAGE)
    assert (await read(world, share)).address == world.staff.link(share)


async def test_a_link_to_the_page_leads_there_and_names_nothing() -> None:
    world = World()
    share = await world.share(token_type=PAGE, bearer=False)
    assert await read(world, share) == Told(token_type=PAGE, address=world.staff.link(share))
    back = World(caller=trusted())  # the type was direct once
    share = await back.share(token_type=PAGE)
    assert await read(back, share) == Told(token_type=PAGE, address=back.staff.link(share))


async def test_a_series_is_not_taken_for_its_study() -> None:
    world = World()
    told = await read(world, await world.share((OK, SERIES)))
    assert told.resources == ((Resource.of("main", OK, SERIES), name(OK, SERIES)),)


@pytest.mark.parametrize("bearer", [True, False])
@pytest.mark.parametrize(
    ("more", "error"),
    [
        pytest.param({"ago": timedelta(days=8)}, Unusable.EXPIRED, id="ended"),
        pytest.param({"withdrawn": True}, Unusable.EXPIRED, id="withdrawn"),
        pytest.param({"max_visits": 1, "visits": 1}, Unusable.EXPIRED, id="used up"),
        pytest.param({"soon": timedelta(days=1)}, Unusable.UNKNOWN, id="not yet"),
    ],
)
async def test_what_is_not_open_names_nothing(bearer: bool, more: dict[str, Any], error: Unusable) -> None:
    world = World()
    more = dict(more)
    ago, soon, withdrawn = more.pop("ago", None), more.pop("soon", None), more.pop("withdrawn", False)
    more |= {"not_before": world.gate.now + soon} if soon else {}
    share = await world.share(bearer=bearer, **more)
    if withdrawn:
        await world.withdraw(share)
    if ago:
        world.after(ago)
    assert await read(world, share) == Told(token_type=INSTANT, error=error)


async def test_what_is_no_token_is_invalid() -> None:
    world = World()
    token = world.token(await world.share())
    for shown in (
        "",
        "Bearer ",
        "x",
        token[:-1] + ("a" if token[-1] != "a" else "b"),
        "kht_" + "a" * 16 + "_" + "a" * 32,
    ):
        assert await read(world, shown) == Told(error=Unusable.INVALID)


async def test_a_token_of_another_archive_is_as_one_of_nobodys() -> None:
    world = World()
    share = await world.share()
    told = await world.reader.read(Caller(name="orthanc", archive="other"), world.token(share))
    assert (told.error, told.address, told.resources) == (Unusable.INVALID, None, ())


async def test_naming_what_is_open_is_on_record_before_it_is_told() -> None:
    world = World()
    share = await world.share()
    await read(world, share)
    await read(world, share)
    first, count = await world.gate.trail(Event.SEARCH, Event.COUNT)
    assert (first.subject, first.study, first.detail) == (share.principal, OK, {"through": "plugin:orthanc"})
    assert count.times == 2
    other = await world.share((SECOND,))
    await world.gate.current.share(other.id)
    world.gate.store.lost = StoreFailed("gone")
    with pytest.raises(StoreFailed):
        await read(world, other)


async def test_what_is_withdrawn_while_its_record_is_written_is_not_named() -> None:
    world = World()
    share = await world.share()
    write = world.gate.store.append

    async def append(records: Any) -> None:
        await write(records)
        await world.withdraw(share)

    world.gate.store.append = append  # type: ignore[method-assign]
    assert await read(world, share) == Told(token_type=INSTANT, error=Unusable.EXPIRED)


async def test_reading_counts_no_opening() -> None:
    world = World()
    for share in (await world.share(), await world.share(bearer=False, token_type=PAGE, max_visits=1)):
        for _ in range(3):
            await read(world, share)
        assert await world.gate.store.share(share.id) == share


async def test_a_link_whose_key_is_gone_leads_nowhere() -> None:
    world = World()
    share = await world.share(token_type=PAGE, bearer=False)
    token = world.token(share)
    world.gate.ring.keys.clear()  # type: ignore[attr-defined]
    world.gate.ring.keys.update(KeyRing.new().keys)  # type: ignore[attr-defined]
    assert (await read(world, token)).error is Unusable.INVALID
