"""Administration is a request like any other: who may, what can be, and what is written down of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from keyhole.access.decision import Event, Reason
from keyhole.access.resource import Action, Resource
from keyhole.access.secret import is_id
from keyhole.access.share import ALLOWS, Share, ShareChange, ShareKind
from keyhole.access.subject import Subject
from keyhole.errors import ArchiveFailed, Refused, StoreFailed
from keyhole.gateway.client import Client
from keyhole.gateway.desk import Desk, NotAllowed, NotFound, ShareOrder
from keyhole.sharing import link
from tests.gateway.gate import DAY, HOUR, NOW, OK, OPERATOR, OTHER_SERIES, SECOND, SERIES, Gate, staff
from tests.gateway.small_archive import failing

UNKNOWN = "7.7.7"
ELSEWHERE = Client("198.51.100.7", "worklist/1")


SHARER, OTHER_SHARER = staff("sharer"), staff("sharer", name="b")
READER, UPLOADER = staff("reader", name="c"), staff("uploader", name="d")
BLIND = staff("sharer", name="e", ceiling=frozenset({Action.SEARCH, Action.SHARE}))
"""May share, and may not see images."""


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def desk(gate: Gate) -> Desk:
    return gate.desk


def order(*resources: tuple[str, ...], **more: Any) -> ShareOrder:
    values = {"archive": "main", "resources": resources or ((OK,),), "expires_at": NOW + 7 * DAY, "forced": True}
    return ShareOrder(**(values | more))


async def nothing_happened(gate: Gate) -> None:
    assert await gate.store.shares() == []
    assert await gate.trail(Event.SHARE_CREATED, Event.VISIT_PREPARED) == []


async def refusals(gate: Gate) -> list[tuple[Any, ...]]:
    rows = await gate.trail(Event.REFUSAL)
    return [(row.subject, row.reason, row.action, row.study) for row in rows]


class TestSharing:
    async def test_makes_a_share_that_opens_and_records_it(self, gate: Gate, desk: Desk) -> None:
        wanted = order((OK,), (SECOND, "1.2.2.1"), max_visits=2, note="for Monday", recipient="Dr Roe")
        share = await desk.create_share(SHARER, wanted, ELSEWHERE)
        assert is_id(share.id)
        assert (share.kind, share.creator, share.max_visits) == (ShareKind.VIEW, SHARER.name, 2)
        assert share.resources == (Resource.of("main", OK), Resource.of("main", SECOND, "1.2.2.1"))
        await gate.open(share)
        [row] = await gate.trail(Event.SHARE_CREATED)
        assert (row.subject, row.share, row.archive, row.action) == (SHARER.name, share.id, "main", Action.SHARE)
        assert row.detail["resources"] == f"main:{OK} main:{SECOND}/1.2.2.1"
        assert row.personal == {
            "address": "198.51.100.7",
            "agent": "worklist/1",
            "note": "for Monday",
            "recipient": "Dr Roe",
        }

    async def test_the_files_can_be_given_by_who_may_download_them(self, gate: Gate, desk: Desk) -> None:
        wanted = order(kind=ShareKind.DOWNLOAD)
        share = await desk.create_share(SHARER, wanted)
        assert share.kind is ShareKind.DOWNLOAD
        [row] = await gate.trail(Event.SHARE_CREATED)
        assert row.detail["allows"] == "download"
        looking = staff("sharer", ceiling=ALLOWS[ShareKind.VIEW] | {Action.SHARE})
        with pytest.raises(NotAllowed):
            await desk.create_share(looking, wanted)
        assert (await desk.create_share(looking, order())).kind is ShareKind.VIEW

    async def test_the_link_opens_the_share_and_is_on_no_record(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        shown = desk.link(share)
        parsed = link.parse_link(shown)
        assert parsed is not None
        assert (parsed[0], link.verify(share, parsed[1], gate.ring)) == (share.id, True)
        assert not [row for row in await gate.trail() if parsed[1].reveal() in repr(row)]

    async def test_names_each_study_once(self, desk: Desk) -> None:
        assert len((await desk.create_share(SHARER, order((OK,), (OK,)))).resources) == 1

    @pytest.mark.parametrize(
        ("subject", "reason"),
        [
            pytest.param(READER, Reason.NO_GRANT, id="a reader"),
            pytest.param(UPLOADER, Reason.NO_GRANT, id="an uploader"),
            pytest.param(BLIND, Reason.CEILING, id="whoever may not see it"),
            pytest.param(staff(), Reason.NO_GRANT, id="whoever has no role"),
            pytest.param(staff("sharer", ceiling=frozenset({Action.SEARCH})), Reason.CEILING, id="below the ceiling"),
        ],
    )
    async def test_is_for_whoever_holds_what_is_given_and_may_share_it(
        self, subject: Subject, reason: Reason, gate: Gate, desk: Desk
    ) -> None:
        for study in (OK, UNKNOWN):
            with pytest.raises(NotAllowed) as refused:
                await desk.create_share(subject, order((study,)), ELSEWHERE)
            assert refused.value.reason is reason
        await nothing_happened(gate)
        assert gate.archive.begun == 0, "whether a study exists is not looked up for just anybody"
        rows = await gate.trail(Event.REFUSAL)
        assert [(row.subject, row.reason, row.study) for row in rows] == [
            (subject.name, reason, OK),
            (subject.name, reason, UNKNOWN),
        ]
        assert rows[0].personal["address"] == ELSEWHERE.address

    @pytest.mark.parametrize(
        "resources",
        [((UNKNOWN,),), ((OK,), (UNKNOWN,)), ((OK, "5.5"),), ((SECOND, SERIES),), ((UNKNOWN, SERIES),)],
    )
    async def test_of_what_the_archive_does_not_have_is_nothing(
        self, resources: tuple[tuple[str, ...], ...], gate: Gate, desk: Desk
    ) -> None:
        with pytest.raises(NotFound):
            await desk.create_share(SHARER, order(*resources))
        await nothing_happened(gate)

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"archive": "nowhere"}, id="an unknown archive"),
            pytest.param({"resources": ()}, id="nothing"),
            pytest.param({"resources": tuple((f"1.{n}",) for n in range(101))}, id="too much"),
            pytest.param({"resources": (("1..2",),)}, id="what is no UID"),
            pytest.param({"resources": ((OK, SERIES, f"{SERIES}.1"),)}, id="one instance"),
            pytest.param({"resources": ((),)}, id="a whole archive"),
            pytest.param({"expires_at": NOW}, id="for no time"),
            pytest.param({"expires_at": NOW - DAY}, id="the past"),
            pytest.param({"expires_at": NOW + 31 * DAY}, id="longer than may be"),
            pytest.param({"expires_at": datetime(2026, 3, 2)}, id="until a time without a zone"),  # noqa: DTZ001
            pytest.param({"not_before": NOW + 7 * DAY}, id="from its end on"),
            pytest.param({"max_visits": 0}, id="for no visit"),
            pytest.param({"max_visits": -1}, id="for less than none"),
            pytest.param({"max_visits": 1 << 70}, id="for more visits than can be counted"),
            pytest.param({"note": "x" * 1001}, id="with a novel"),
            pytest.param({"recipient": "x" * 1001}, id="to a novel"),
        ],
    )
    async def test_of_what_cannot_be_is_refused_and_the_archive_is_not_asked(
        self, changes: dict[str, Any], gate: Gate, desk: Desk
    ) -> None:
        with pytest.raises(Refused):
            await desk.create_share(OPERATOR, order(**changes))
        await nothing_happened(gate)
        assert gate.archive.begun == 0

    async def test_with_a_failing_archive_or_store_makes_nothing(self, gate: Gate, desk: Desk) -> None:
        gate.archive.answers["/studies"] = failing(ArchiveFailed("down"))
        with pytest.raises(ArchiveFailed):
            await desk.create_share(SHARER, order())
        del gate.archive.answers["/studies"]
        gate.store.lost = StoreFailed("full")
        with pytest.raises(StoreFailed):
            await desk.create_share(SHARER, order())
        gate.store.lost = None
        await nothing_happened(gate)

    async def test_takes_as_much_as_fits(self, gate: Gate, desk: Desk) -> None:
        for number in range(100):
            gate.archive.holding(f"1.9.{number}", f"1.9.{number}.1")
        share = await desk.create_share(SHARER, order(*((f"1.9.{number}",) for number in range(100))))
        assert len(share.resources) == 100


class TestChanging:
    @pytest.fixture
    async def share(self, desk: Desk) -> Share:
        return await desk.create_share(SHARER, order(max_visits=1, note="n"))

    async def test_renews_and_records_what_changed(self, gate: Gate, desk: Desk, share: Share) -> None:
        change = ShareChange(expires_at=NOW + 20 * DAY, more_visits=2, note="secret words", recipient="Dr Roe")
        changed = await desk.change_share(SHARER, share.id, change, ELSEWHERE)
        assert (changed.expires_at, changed.max_visits, changed.recipient) == (NOW + 20 * DAY, 3, "Dr Roe")
        [row] = await gate.trail(Event.SHARE_CHANGED)
        assert row.detail == {"expires_at": (NOW + 20 * DAY).isoformat(), "more_visits": "2"}
        assert row.personal["recipient"] == "Dr Roe"

    async def test_makes_a_new_link_and_ends_the_old_one(self, gate: Gate, desk: Desk, share: Share) -> None:
        before = desk.link(share)
        changed = await desk.change_share(SHARER, share.id, desk.new_link())
        assert changed.generation == share.generation + 1
        assert desk.link(changed) != before

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(ShareChange(expires_at=NOW), id="an end in the past"),
            pytest.param(ShareChange(expires_at=NOW + 31 * DAY), id="longer than may be"),
            pytest.param(ShareChange(expires_at=datetime(2026, 3, 2)), id="no zone"),  # noqa: DTZ001
            pytest.param(ShareChange(not_before=NOW + 7 * DAY), id="a start at the present end"),
            pytest.param(ShareChange(not_before=NOW + 9 * DAY, expires_at=NOW + 8 * DAY), id="a start after the end"),
            pytest.param(ShareChange(more_visits=-1), id="fewer openings"),
            pytest.param(ShareChange(more_visits=1 << 70), id="more openings than can be counted"),
            pytest.param(ShareChange(note="x" * 1001), id="a novel"),
            pytest.param(ShareChange(new_link_key="bbbbbbbbbbbbbbbb"), id="a key that is not in the ring"),
        ],
    )
    async def test_to_what_cannot_be_is_refused(
        self, change: ShareChange, gate: Gate, desk: Desk, share: Share
    ) -> None:
        with pytest.raises(Refused):
            await desk.change_share(OPERATOR, share.id, change)
        assert await gate.store.share(share.id) == share
        assert await gate.trail(Event.SHARE_CHANGED) == []

    async def test_of_a_start_that_a_shorter_end_would_precede_is_refused(self, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(not_before=NOW + 2 * DAY))
        with pytest.raises(Refused):
            await desk.change_share(SHARER, share.id, ShareChange(expires_at=NOW + DAY))

    async def test_of_openings_needs_a_limit(self, desk: Desk) -> None:
        unlimited = await desk.create_share(SHARER, order())
        with pytest.raises(Refused):
            await desk.change_share(SHARER, unlimited.id, ShareChange(more_visits=1))

    @pytest.mark.parametrize(
        "change",
        [ShareChange(more_visits=1), ShareChange(expires_at=NOW + 20 * DAY), "a new link"],
        ids=["openings", "time", "link"],
    )
    async def test_gives_only_what_one_holds(
        self, change: ShareChange | str, gate: Gate, desk: Desk, share: Share
    ) -> None:
        with pytest.raises(NotAllowed):
            await desk.change_share(BLIND, share.id, desk.new_link() if isinstance(change, str) else change)
        assert await gate.store.share(share.id) == share
        [row] = await refusals(gate)
        assert row == (BLIND.name, Reason.CEILING, Action.RENDER, OK)

    async def test_of_an_unknown_share_is_refused(self, desk: Desk) -> None:
        for name in ("a" * 16, "", "../x", "é" * 16):
            with pytest.raises(NotFound):
                await desk.change_share(OPERATOR, name, ShareChange(more_visits=1))


class TestWithdrawing:
    async def test_is_for_good_and_once_on_the_trail(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        withdrawn = await desk.change_share(SHARER, share.id, ShareChange(withdrawn_at=NOW))
        gate.after(HOUR)
        again = await desk.change_share(OPERATOR, share.id, ShareChange(withdrawn_at=gate.now))
        assert withdrawn.withdrawn_at == again.withdrawn_at == NOW
        assert [row.subject for row in await gate.trail(Event.SHARE_WITHDRAWN)] == [SHARER.name]
        with pytest.raises(Refused):
            await desk.change_share(OPERATOR, share.id, ShareChange(expires_at=gate.now + DAY))

    async def test_happens_now_whatever_time_was_said_and_changes_nothing_else(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(max_visits=1))
        change = ShareChange(withdrawn_at=NOW + 9 * DAY, expires_at=NOW + 999 * DAY, more_visits=5, note="x" * 9999)
        withdrawn = await desk.change_share(SHARER, share.id, change)
        assert withdrawn == replace(share, withdrawn_at=NOW)

    async def test_takes_no_right_to_the_images(self, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        assert (await desk.change_share(BLIND, share.id, ShareChange(withdrawn_at=NOW))).withdrawn_at == NOW

    async def test_works_in_an_archive_that_is_no_longer_set_up(self, gate: Gate, desk: Desk) -> None:
        share = await gate.share(archive="old", creator="user:gone")
        assert (await desk.share(OPERATOR, share.id)).id == share.id
        with pytest.raises(NotAllowed):
            await desk.change_share(OPERATOR, share.id, ShareChange(expires_at=NOW + DAY))
        assert (await desk.change_share(OPERATOR, share.id, ShareChange(withdrawn_at=NOW))).withdrawn_at == NOW

    async def test_is_not_for_who_cannot_see_the_share(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        with pytest.raises(NotFound) as hidden:
            await desk.change_share(READER, share.id, ShareChange(withdrawn_at=NOW), ELSEWHERE)
        with pytest.raises(NotFound) as missing:
            await desk.change_share(READER, "a" * 16, ShareChange(withdrawn_at=NOW), ELSEWHERE)
        assert str(hidden.value).replace(share.id, "a" * 16) == str(missing.value)
        kept = await gate.store.share(share.id)
        assert kept is not None
        assert kept.withdrawn_at is None
        [row] = await gate.trail(Event.REFUSAL)
        assert (row.subject, row.share, row.reason) == (READER.name, share.id, Reason.NO_GRANT)
        assert row.personal["address"] == ELSEWHERE.address


class TestLooking:
    async def test_lists_what_one_made_or_could_have_made_newest_first(self, gate: Gate, desk: Desk) -> None:
        made = []
        for subject in (SHARER, OTHER_SHARER, OPERATOR):
            made.append((await desk.create_share(subject, order())).id)
            gate.after(timedelta(seconds=1))
        for subject in (SHARER, OTHER_SHARER, OPERATOR):
            assert [share.id for share in await desk.shares(subject)] == made[::-1]
        assert await desk.shares(READER) == []
        assert await desk.shares(UPLOADER) == []

    async def test_pages_over_what_one_may_not_see(self, gate: Gate, desk: Desk) -> None:
        mine = []
        for number in range(12):
            gate.after(timedelta(seconds=1))
            hidden = number % 3
            creator, archive = ("user:eve", "old") if hidden else (SHARER.name, "main")
            share = await gate.share(creator=creator, archive=archive)
            if not hidden:
                mine.append(share.id)
        narrow = replace(SHARER, principals=frozenset({SHARER.name}))
        pages, after = [], None
        while page := await desk.shares(narrow, after=after, limit=2):
            pages.append([share.id for share in page])
            after = page[-1].id
        assert pages == [mine[:1:-1], mine[1::-1]]

    async def test_looks_for_ones_own_alone_when_one_may_see_no_others(self, gate: Gate, desk: Desk) -> None:
        asked = []

        class Counting:
            async def shares(self, **query: Any) -> Sequence[Share]:
                asked.append(query["creator"])
                return await gate.store.shares(**query)

        looking = replace(desk, store=cast("Any", Counting()))
        await desk.create_share(OPERATOR, order())
        assert await looking.shares(READER) == []
        assert len(await looking.shares(SHARER)) == 1
        assert asked == [READER.name, None]

    async def test_lists_those_of_one_study(self, desk: Desk) -> None:
        await desk.create_share(SHARER, order((OK,)))
        wanted = await desk.create_share(SHARER, order((SECOND,), (OK, OTHER_SERIES)))
        assert [share.id for share in await desk.shares(SHARER, study=SECOND)] == [wanted.id]

    async def test_shows_the_timeline_to_who_may_see_the_share(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        await gate.open(share)
        rows = await desk.timeline(OTHER_SHARER, share.id)
        assert [row.record.event for row in rows] == [Event.SHARE_CREATED, Event.VISIT_BEGUN]
        with pytest.raises(NotFound):
            await desk.timeline(READER, share.id)
        with pytest.raises(NotFound):
            await desk.share(READER, share.id)

    async def test_shows_the_link_again_to_who_could_see_the_images_and_records_it(
        self, gate: Gate, desk: Desk
    ) -> None:
        share = await desk.create_share(SHARER, order())
        assert await desk.show_link(OTHER_SHARER, share.id, ELSEWHERE) == desk.link(share)
        [row] = await gate.trail(Event.LINK_SHOWN)
        assert (row.subject, row.share) == (OTHER_SHARER.name, share.id)
        for subject, error in ((BLIND, NotAllowed), (READER, NotFound)):
            with pytest.raises(error):
                await desk.show_link(subject, share.id)
        assert len(await gate.trail(Event.LINK_SHOWN)) == 1

    async def test_shows_no_link_without_a_record(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        gate.store.lost = StoreFailed("full")
        with pytest.raises(StoreFailed):
            await desk.show_link(SHARER, share.id)

    async def test_has_no_link_whose_key_has_left_the_ring(self, gate: Gate, desk: Desk) -> None:
        share = await gate.share(key_id="bbbbbbbbbbbbbbbb")
        with pytest.raises(Refused, match="key ring"):
            await desk.show_link(OPERATOR, share.id)


class TestStaffsVisits:
    async def test_are_prepared_for_who_may_see_and_that_is_on_record(self, gate: Gate, desk: Desk) -> None:
        visit, _ = await desk.prepare_visit(READER, "main", [OK, SECOND, OK], ELSEWHERE)
        assert (visit.begun_at, visit.ends_at) == (None, NOW + timedelta(seconds=60))
        assert visit.resources == (Resource.of("main", OK), Resource.of("main", SECOND))
        assert {action for grant in visit.grants() for action in grant.actions} == ALLOWS[ShareKind.VIEW]
        [row] = await gate.trail(Event.VISIT_PREPARED)
        assert (row.subject, row.visit) == (READER.name, visit.id)
        assert row.detail == {"resources": f"main:{OK} main:{SECOND}"}

    @pytest.mark.parametrize("subject", [UPLOADER, BLIND, staff()])
    async def test_are_not_for_who_may_not_see(self, subject: Subject, gate: Gate, desk: Desk) -> None:
        with pytest.raises(NotAllowed):
            await desk.prepare_visit(subject, "main", [OK])
        await nothing_happened(gate)
        assert len(await refusals(gate)) == 1

    @pytest.mark.parametrize(
        ("archive", "studies"), [("main", [UNKNOWN]), ("nowhere", [OK]), ("main", []), ("main", ["x"])]
    )
    async def test_of_what_there_is_not_are_refused(
        self, archive: str, studies: list[str], gate: Gate, desk: Desk
    ) -> None:
        with pytest.raises(Refused):
            await desk.prepare_visit(OPERATOR, archive, studies)
        await nothing_happened(gate)


class TestSearching:
    async def test_is_on_the_trail_before_the_archive_is_asked(self, gate: Gate, desk: Desk) -> None:
        gate.store.lost = StoreFailed("full")
        with pytest.raises(StoreFailed):
            await desk.find_studies(READER, "main", b"")
        assert gate.archive.begun == 0
        gate.store.lost = None
        for _ in range(3):
            assert len(await desk.find_studies(READER, "main", b"", ELSEWHERE)) == 4
        [row] = await gate.trail(Event.SEARCH)
        assert (row.subject, row.personal["address"]) == (READER.name, ELSEWHERE.address)
        [row] = await gate.trail(Event.COUNT)
        assert row.times == 3

    async def test_is_for_who_may(self, gate: Gate, desk: Desk) -> None:
        with pytest.raises(NotAllowed) as refused:
            await desk.find_studies(staff("reader", ceiling=frozenset({Action.RENDER})), "main", b"")
        assert refused.value.reason is Reason.CEILING
        assert len(await refusals(gate)) == 1
        assert await desk.find_studies(staff(), "main", b"") == []
        assert gate.archive.begun == 0

    @pytest.mark.parametrize("query", [b"limit=x", b"_method=delete", b"StudyInstanceUID=1&0020000D=2"])
    async def test_for_what_is_not_understood_is_refused(self, query: bytes, gate: Gate, desk: Desk) -> None:
        with pytest.raises(Refused):
            await desk.find_studies(OPERATOR, "main", query)
        assert gate.archive.begun == 0

    async def test_in_an_unknown_archive_is_refused(self, desk: Desk) -> None:
        with pytest.raises(NotFound):
            await desk.find_studies(OPERATOR, "nowhere", b"")


async def test_nothing_about_a_person_is_in_the_chain(gate: Gate, desk: Desk) -> None:
    jane = Client("192.0.2.99", "Jane")
    share = await desk.create_share(SHARER, order(note="Jane", recipient="Jane"), jane)
    await desk.change_share(SHARER, share.id, ShareChange(note="Jane Doe", recipient="Jane Doe"), jane)
    await desk.show_link(SHARER, share.id, jane)
    rows = await gate.trail()
    assert [row.personal["address"] for row in rows] == ["192.0.2.99"] * 3
    assert not [row for row in rows if "Jane" in repr(replace(row, personal={}))]
