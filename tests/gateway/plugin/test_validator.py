"""May this token do that to this study: the plugin's question, asked of the same decision point."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.decision import Event, Reason
from keyhole.access.resource import Action
from keyhole.access.share import Origin, Share, ShareChange
from keyhole.errors import StoreFailed
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.validator import Verdict
from keyhole.sharing.token import TYPES, Opens
from tests.gateway.gate import SERIES
from tests.gateway.plugin.world import BAD, INSTANT, OK, PAGE, SECOND, World, name

SECONDS = timedelta(seconds=1)
POSTING = sorted(each for each, kind in TYPES.items() if kind.posts)


async def test_a_bearer_reads_the_study_of_its_share() -> None:
    world = World()
    assert await world.ask(await world.share()) == Verdict(granted=True, validity=1)


@pytest.mark.parametrize("form", ["Bearer {}", "bearer   {}", "BEARER {}", " {} "])
async def test_a_token_may_come_with_its_scheme(form: str) -> None:
    world = World()
    assert await world.granted(form.format(world.token(await world.share())))


async def test_nothing_else_is_granted() -> None:
    world = World()
    share = await world.share()
    for study in (SECOND, BAD, "1.2", "1.2.1.0", "*", ""):
        assert not await world.granted(share, study)


async def test_both_names_have_to_agree() -> None:
    world = World()
    share = await world.share((OK,), (SECOND,))
    assert await world.granted(share, SECOND)
    assert await world.granted(share, OK, orthanc_id="")
    assert await world.granted(share, OK, orthanc_id=None)
    assert await world.granted(share, "", orthanc_id=name(SECOND))
    assert not await world.granted(share, OK, orthanc_id=name(SECOND))
    assert not await world.granted(share, OK, orthanc_id=name(BAD))
    assert not await world.granted(share, BAD, orthanc_id=name(OK))
    assert not await world.granted(share, OK, orthanc_id=name(OK).upper())
    assert not await world.granted(share, "", orthanc_id="")


async def test_where_orthancs_name_is_not_known_the_other_one_decides() -> None:
    world = World()
    share = await world.share((OK,), (SECOND,), orthanc_ids=("", name(SECOND)))
    assert await world.granted(share, OK, orthanc_id=name(OK))
    assert not await world.granted(share, OK, orthanc_id=name(SECOND))
    assert not await world.granted(share, "", orthanc_id=name(OK))
    bare = await world.share((OK,), orthanc_ids=())
    assert await world.granted(bare)
    assert not await world.granted(bare, "", orthanc_id=name(OK))


@pytest.mark.parametrize("method", ["put", "delete", "head", "GET", "", None, "patch"])
async def test_no_other_method_is_granted(method: str | None) -> None:
    world = World()
    assert not await world.granted(await world.share(), method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize("token_type", sorted(TYPES))
async def test_a_post_is_granted_to_viewers_that_read_through_dicomweb_alone(token_type: str) -> None:
    world = World(types=dict.fromkeys(TYPES, Opens.DIRECT))
    share = await world.share(token_type=token_type)
    assert await world.granted(share)
    assert await world.granted(share, method="post") is (token_type in POSTING)
    assert not await world.granted(share, method="post", labels=["clinic"])


async def test_orthanc_remembers_no_answer_about_a_post() -> None:
    world = World(validity=60)
    share = await world.share()
    assert await world.ask(share, method="post") == Verdict(granted=True, validity=0)
    assert await world.ask(share, method="post", labels=["a"]) == Verdict(granted=False, validity=0)
    assert (await world.ask(share, labels=["a"])).validity == 60


@pytest.mark.parametrize("level", ["patient", "series", "instance", "system", "Study", "", None])
async def test_a_study_is_asked_for_as_a_study(level: str | None) -> None:
    world = World()
    assert not await world.granted(await world.share(), level=level)


async def test_a_series_is_opened_as_that_series_and_nothing_above_it() -> None:
    world = World()
    share = await world.share((OK, SERIES))
    assert await world.granted(share, level="series", dicom_uid=SERIES, orthanc_id=name(OK, SERIES))
    assert not await world.granted(share, level="study")
    assert not await world.granted(share, level="instance", dicom_uid=SERIES, orthanc_id=name(OK, SERIES))
    assert not await world.granted(share, level="series", dicom_uid="1.2.1.2", orthanc_id="")


async def test_whatever_is_no_token_opens_nothing() -> None:
    world = World()
    share = await world.share()
    token = world.token(share)
    other = world.token(await world.share((SECOND,)))
    for shown in ("", "Bearer ", "Basic b3J0aGFuYzo=", token[:-1], token + "a", token.upper(), "kht_" + "a" * 49):
        assert not await world.granted(shown)
    assert not await world.granted(token[:21] + other[21:])
    assert not await world.granted(world.gate.secret(share))
    assert not await world.granted("eyJhbGciOiJub25lIn0.e30.")
    assert not await world.granted(share, token_value=None)


async def test_a_share_that_is_no_bearer_opens_nothing_here() -> None:
    world = World()
    for more in ({"bearer": False}, {"token_type": PAGE}, {"token_type": None}, {"token_type": "inbox-link"}):
        assert not await world.granted(await world.share(**more))


async def test_a_type_that_is_switched_off_opens_nothing_any_more() -> None:
    world = World(types={INSTANT: Opens.OFF})
    assert not await world.granted(await world.share())


class OldTokens:
    """A kind of token that shows the id of its share."""

    def __init__(self, world: World) -> None:
        """Of the shares in *world*."""
        self.world = world

    async def share(self, text: str) -> Share | None:
        return await self.world.gate.store.share(text.removeprefix("old-")) if text.startswith("old-") else None


@pytest.mark.parametrize(("types", "granted"), [({}, True), ({PAGE: Opens.OFF}, False)])
async def test_links_of_the_service_before_open_what_they_did_until_their_type_is_off(
    types: dict[str, Opens], granted: bool
) -> None:
    world = World(types=types)
    object.__setattr__(world.tokens, "kinds", (*world.tokens.kinds, OldTokens(world)))
    share = await world.share(origin=Origin.LEGACY, token_type=PAGE)
    assert await world.granted(f"old-{share.id}") is granted
    assert not await world.granted(world.token(share))  # it has no other token


async def test_another_orthanc_is_not_answered() -> None:
    world = World(caller=Caller(name="orthanc", archive="main", server_id="one"))
    share = await world.share()
    assert await world.granted(share, server_id="one")
    for server_id in ("two", "ONE", "", None):
        assert not await world.granted(share, server_id=server_id)


async def test_a_share_of_another_archive_opens_nothing_here() -> None:
    world = World(caller=Caller(name="orthanc", archive="other"))
    assert not await world.granted(await world.share())


async def test_no_yes_outlasts_its_share() -> None:
    world = World(validity=600)
    share = await world.share(expires_at=world.gate.now + 90 * SECONDS)
    assert (await world.ask(share)).validity == 90
    world.after(89 * SECONDS)
    assert (await world.ask(share)).validity == 1
    world.after(0.5 * SECONDS)
    assert await world.ask(share) == Verdict(granted=True, validity=0)
    world.after(0.5 * SECONDS)
    assert not await world.granted(share)


async def test_a_no_is_remembered_shortly() -> None:
    world = World(validity=600)
    share = await world.share(not_before=world.gate.now + 2 * SECONDS)
    assert await world.ask(share) == Verdict(granted=False, validity=1)
    world.after(2 * SECONDS)
    assert await world.granted(share)


async def test_nothing_is_remembered_where_the_operator_wants_it_so() -> None:
    world = World(validity=0)
    share = await world.share()
    assert await world.ask(share) == Verdict(granted=True, validity=0)
    assert await world.ask(share, BAD) == Verdict(granted=False, validity=0)


async def test_a_withdrawal_ends_it_at_once() -> None:
    world = World()
    share = await world.share()
    assert await world.granted(share)
    await world.withdraw(share)
    assert not await world.granted(share)


async def test_a_new_link_ends_the_token() -> None:
    world = World()
    share = await world.share()
    token = world.token(share)
    record = (await world.gate.trail())[0]
    await world.gate.store.change_share(share.id, ShareChange(new_link_key=world.gate.ring.current), record)
    assert not await world.granted(token)


async def test_a_share_that_is_used_up_opens_nothing() -> None:
    world = World()
    assert not await world.granted(await world.share(max_visits=1, visits=1))


# -- record, then release


async def test_a_yes_is_on_record_before_it_is_given() -> None:
    world = World()
    share = await world.share()
    await world.ask(share)
    rows = [row for row in world.gate.store._rows if row.draft.record.event is Event.ACCESS]
    assert [row.draft.record.study for row in rows] == [OK]
    assert rows[0].draft.record.subject == share.principal
    assert rows[0].draft.record.detail == {"through": "plugin:orthanc"}


async def test_the_rest_is_counted() -> None:
    world = World()
    share = await world.share()
    for _ in range(5):
        await world.ask(share)
    await world.ask(share, method="post")
    access, search, *counts = await world.gate.trail(Event.ACCESS, Event.SEARCH, Event.COUNT)
    assert (access.action, search.action) == (Action.RETRIEVE, Action.SEARCH)
    assert [(row.action, row.times) for row in counts] == [(Action.RETRIEVE, 5), (Action.SEARCH, 1)]


async def test_the_first_access_through_each_orthanc_has_a_row() -> None:
    world = World()
    share = await world.share()
    await world.ask(share)
    world.caller = Caller(name="second", archive="main")
    await world.ask(share)
    rows = await world.gate.trail(Event.ACCESS)
    assert [row.detail["through"] for row in rows] == ["plugin:orthanc", "plugin:second"]


async def test_what_is_withdrawn_while_its_record_is_written_is_not_granted() -> None:
    world = World()
    share = await world.share()
    write = world.gate.store.append

    async def append(records: Any) -> None:
        await write(records)
        await world.withdraw(share)

    world.gate.store.append = append  # type: ignore[method-assign]
    assert not await world.granted(share)
    assert [row.reason for row in await world.gate.trail(Event.REFUSAL)] == [Reason.WITHDRAWN]


async def test_without_a_trail_nothing_is_granted() -> None:
    world = World()
    share = await world.share()
    await world.gate.current.share(share.id)
    world.gate.store.lost = StoreFailed("gone")
    with pytest.raises(StoreFailed):
        await world.ask(share)
    world.gate.store.lost = None
    assert await world.granted(share)


async def test_a_refusal_is_on_the_trail_with_its_reason_and_without_the_token() -> None:
    world = World()
    share = await world.share()
    await world.ask(share, BAD)
    await world.ask(share, method="put")
    await world.ask("kht_nonsense", OK)
    await world.ask("", OK)
    rows = await world.gate.trail(Event.REFUSAL)
    assert [(row.subject, row.reason, row.study) for row in rows] == [
        (share.principal, Reason.NO_GRANT, BAD),
        (share.principal, Reason.CEILING, OK),
        ("anonymous", Reason.BAD_CREDENTIAL, OK),
        ("anonymous", Reason.NO_CREDENTIAL, OK),
    ]
    assert "kht_" not in repr(rows)


async def test_a_flood_of_questions_puts_few_rows_on_the_trail() -> None:
    world = World()
    share = await world.share()
    for number in range(300):
        await world.ask(share, f"1.9.{number}", orthanc_id="")
    rows = await world.gate.trail(Event.REFUSAL)
    assert len(rows) < 30
    assert sum(row.times for row in rows) == 300


# -- laws

WORDS = st.none() | st.sampled_from(
    ["get", "post", "put", "delete", "study", "series", "patient", "instance", "system", "", OK, SECOND, BAD, SERIES]
)
NAMES = st.sampled_from(
    [OK, SECOND, BAD, SERIES, f" {OK}", f"{OK}\x00", f"{OK}.", "1.2.01", "", "*", f"{OK}\\{SECOND}", OK + "/series"]
)
ORTHANC = st.sampled_from([name(OK), name(SECOND), name(BAD), name(OK, SERIES), name(OK).upper(), "", name(OK)[:-1]])


@given(
    shared=st.lists(st.sampled_from([(OK,), (SECOND,), (OK, SERIES)]), min_size=1, max_size=3, unique=True),
    known=st.booleans(),
    method=WORDS,
    level=WORDS,
    uid=NAMES | st.text(max_size=5) | st.none(),
    orthanc_id=ORTHANC | st.text(max_size=5) | st.none(),
    labels=st.sampled_from([None, [], ["a"], "a", 1]),
    token_type=st.sampled_from(sorted(TYPES)),
)
def test_no_token_ever_grants_outside_its_resources(
    shared: list[tuple[str, ...]], known: bool, token_type: str, labels: Any, **asked: Any
) -> None:
    async def ask() -> None:
        world = World(types=dict.fromkeys(TYPES, Opens.DIRECT))
        names = tuple(name(*each) for each in shared) if known else ()
        share = await world.share(*shared, token_type=token_type, orthanc_ids=names)
        verdict = await world.ask(
            share,
            labels=labels,
            method=asked["method"],
            level=asked["level"],
            dicom_uid=asked["uid"],
            orthanc_id=asked["orthanc_id"],
        )
        if not verdict.granted:
            return
        of_level = [each for each in shared if len(each) == {"study": 1, "series": 2}[asked["level"]]]
        assert asked["method"] in ("get", "post")
        assert asked["method"] == "get" or (token_type in POSTING and not labels)
        uid, orthanc_id = asked["uid"], asked["orthanc_id"]
        assert uid or orthanc_id
        meant = [
            each
            for each in of_level
            if (not uid or each[-1] == uid) and (not known or not orthanc_id or name(*each) == orthanc_id)
        ]
        assert len(meant) == 1

    asyncio.run(ask())


@given(
    withdrawn=st.booleans(),
    left=st.integers(-100, 100),
    method=st.sampled_from(["get", "post", "put", "delete"]),
    validity=st.integers(0, 3600),
)
def test_what_is_over_or_writes_is_never_granted(withdrawn: bool, left: int, method: str, validity: int) -> None:
    async def ask() -> None:
        world = World(validity=validity)
        share = await world.share(expires_at=world.gate.now + left * SECONDS)
        if withdrawn:
            await world.withdraw(share)
        verdict = await world.ask(share, method=method)
        assert verdict.granted is (not withdrawn and left > 0 and method in ("get", "post"))
        assert 0 <= verdict.validity <= validity
        assert not verdict.granted or verdict.validity <= left

    asyncio.run(ask())
