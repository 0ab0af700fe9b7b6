"""What senders ask of recipients: kept so that nobody can read it back, and changed by nobody who may not give."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.condition import NO_CONDITIONS, ConditionName
from keyhole.access.decision import Event, Reason
from keyhole.access.mail import MailKind
from keyhole.access.resource import Action, Resource
from keyhole.access.secret import Secret
from keyhole.access.share import PatientName, Priors, Share, ShareChange, ShareKind
from keyhole.errors import ArchiveFailed, Refused, StoreFailed
from keyhole.gateway.desk import Desk, NotAllowed, NotFound, ShareOrder
from keyhole.gateway.opening import Opened
from keyhole.gateway.order import AskedPatient, Wishes
from keyhole.gateway.passcode import Passcodes
from keyhole.gateway.policy import ConditionsNeeded, Policy, Required
from keyhole.sharing.condition import Answers, birth_date_right
from keyhole.sharing.paper import opens, paper_code
from tests.gateway.gate import BAD, DAY, HERE, HOUR, NOW, OK, OPERATOR, SECOND, SERIES, SIBLING, Gate, staff
from tests.gateway.small_archive import failing
from tests.gateway.test_patients import BORN, TWO_CLINICS, archive

WORDS = "winter garden"
PASSCODE = Wishes(passcode=Secret(WORDS))
BIRTH_DATE = Wishes(birth_date=True)
SHARER, READER, OTHER = staff("sharer"), staff("reader", name="c"), staff("sharer", name="b")
BLIND = staff("sharer", name="e", ceiling=frozenset({Action.SEARCH, Action.SHARE}))


@pytest.fixture
def gate() -> Gate:
    return Gate(archive=archive(**TWO_CLINICS))


@pytest.fixture
def desk(gate: Gate) -> Desk:
    return replace(gate.desk, policy=Policy(terms=True))


def order(*resources: tuple[str, ...], **more: Any) -> ShareOrder:
    values = {"archive": "main", "resources": resources or ((OK,),), "expires_at": NOW + 7 * DAY}
    return ShareOrder(**(values | more))


def of_patient(priors: Priors = Priors.PRESENT, *names: str, **more: Any) -> ShareOrder:
    return order(resources=(), patient=AskedPatient(*(names or ("P1", "A"))), priors=priors, **more)


async def nothing_was_made(gate: Gate) -> None:
    assert await gate.store.shares() == []
    assert await gate.trail(Event.SHARE_CREATED) == []


async def tries(gate: Gate, share: Share, **answers: Any) -> object:
    return await gate.openings.begin(share.id, gate.secret(share), Answers(**answers), HERE)


class TestAsking:
    async def test_a_passcode_is_kept_as_a_hash_that_only_itself_fits(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(wishes=PASSCODE))
        kept = share.conditions.passcode
        assert share.conditions.names == (ConditionName.PASSCODE,)
        assert kept is not None
        assert kept.startswith("$argon2id$")
        assert await Passcodes().right(kept, f" {WORDS} ")
        assert not await Passcodes().right(kept, "summer garden")
        assert isinstance(await tries(gate, share, passcode=WORDS), Opened)

    async def test_the_birth_date_is_that_of_the_archive_and_kept_as_a_keyed_digest(
        self, gate: Gate, desk: Desk
    ) -> None:
        share = await desk.create_share(SHARER, order((OK,), (SECOND,), wishes=BIRTH_DATE))
        assert birth_date_right(share, Answers(birth_date=BORN), gate.ring)
        assert not birth_date_right(share, Answers(birth_date="19850213"), gate.ring)
        assert isinstance(await tries(gate, share, birth_date=BORN), Opened)

    async def test_all_of_it_is_asked_together(self, gate: Gate, desk: Desk) -> None:
        everything = Wishes(passcode=Secret(WORDS), birth_date=True, mail_code=True, terms=True)
        share = await desk.create_share(SHARER, order(wishes=everything, mail_to="jane@example.org"))
        assert share.conditions.names == tuple(ConditionName)
        assert share.mail_to == "jane@example.org"

    async def test_what_is_asked_is_on_the_trail_and_what_would_answer_it_is_nowhere(
        self, gate: Gate, desk: Desk
    ) -> None:
        everything = Wishes(passcode=Secret(WORDS), birth_date=True, paper=True)
        share = await desk.create_share(
            SHARER, order(wishes=everything, mail_to="jane@example.org", notify="s@example.org")
        )
        more = Wishes(passcode=Secret("other words"))
        await desk.change_share(SHARER, share.id, ShareChange(), wishes=more)
        made, changed = await gate.trail(Event.SHARE_CREATED, Event.SHARE_CHANGED)
        assert made.detail["conditions"] == changed.detail["conditions"] == "passcode birth-date"
        assert made.detail["paper"] == "yes"
        assert "paper" not in changed.detail
        code = paper_code(gate.ring, share.key_id, share.id, share.generation).reveal()
        for row in await gate.trail():
            said = repr(row)
            assert not [secret for secret in (WORDS, "other words", BORN, code, "argon2") if secret in said]
            assert "example.org" not in repr(replace(row, personal={}))
        assert (made.personal["mail_to"], made.personal["notify"]) == ("jane@example.org", "s@example.org")

    async def test_nothing_that_is_asked_shows_itself(self, desk: Desk) -> None:
        wanted = order(wishes=Wishes(passcode=Secret(WORDS), birth_date=True))
        share = await desk.create_share(SHARER, wanted)
        assert WORDS not in repr(wanted)
        assert not [said for said in ("argon2", BORN, str(share.conditions.birth_date)) if said in repr(share)]

    @pytest.mark.parametrize("study", [OK, BAD])
    async def test_who_may_not_share_learns_nothing_of_a_birth_date(self, study: str, gate: Gate, desk: Desk) -> None:
        for subject in (READER, BLIND, staff()):
            with pytest.raises(NotAllowed):
                await desk.create_share(subject, order((study,), wishes=BIRTH_DATE))
        assert gate.archive.begun == 0
        await nothing_was_made(gate)

    @pytest.mark.parametrize("passcode", ["", "1234567", "12345678", "aaaaaaaa", "x" * 65, " " * 20, "\ud800" * 9])
    async def test_a_passcode_that_is_none_is_refused_without_being_told(
        self, passcode: str, gate: Gate, desk: Desk
    ) -> None:
        with pytest.raises(Refused) as refused:
            await desk.create_share(SHARER, order(wishes=Wishes(passcode=Secret(passcode))))
        assert not passcode.strip() or passcode not in f"{refused.value} {refused.value.hint}"
        await nothing_was_made(gate)

    async def test_a_failing_archive_leaves_no_share_without_its_condition(self, gate: Gate, desk: Desk) -> None:
        gate.archive.answers["/studies"] = failing(ArchiveFailed("down"))
        with pytest.raises(ArchiveFailed):
            await desk.create_share(SHARER, order(wishes=BIRTH_DATE))
        await nothing_was_made(gate)

    async def test_a_code_is_mailed_to_somebody(self, gate: Gate, desk: Desk) -> None:
        with pytest.raises(Refused, match="mailed to somebody"):
            await desk.create_share(SHARER, order(wishes=Wishes(mail_code=True)))
        await nothing_was_made(gate)

    async def test_a_link_gets_a_code_to_type_when_that_is_not_all_it_asks(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(wishes=Wishes(passcode=Secret(WORDS), paper=True)))
        assert opens(share, paper_code(gate.ring, share.key_id, share.id, 1), gate.ring)
        with pytest.raises(Refused, match="code for paper"):
            await desk.create_share(SHARER, order(wishes=Wishes(paper=True)))

    async def test_a_language_that_nobody_speaks_here_is_refused(self, gate: Gate, desk: Desk) -> None:
        with pytest.raises(Refused, match="language"):
            await desk.create_share(SHARER, order(language="tlh"))
        assert (await desk.create_share(SHARER, order(language="de"))).language == "de"

    async def test_pictures_alone_are_given_by_who_may_look_at_pictures(self, desk: Desk) -> None:
        looking = staff("sharer", ceiling=frozenset({Action.SEARCH, Action.RENDER, Action.SHARE}))
        share = await desk.create_share(looking, order(kind=ShareKind.VIEW_RENDERED))
        assert share.kind is ShareKind.VIEW_RENDERED
        with pytest.raises(NotAllowed):
            await desk.create_share(looking, order())

    async def test_a_share_lasts_a_minute_at_least(self, desk: Desk) -> None:
        with pytest.raises(Refused, match="a minute at least"):
            await desk.create_share(SHARER, order(expires_at=NOW + timedelta(seconds=59)))
        await desk.create_share(SHARER, order(expires_at=NOW + timedelta(minutes=1)))


class TestThePolicy:
    async def test_is_told_to_nobody_who_may_not_share(self, gate: Gate) -> None:
        strict = replace(gate.desk, policy=Policy(required=Required.parse("any")))
        with pytest.raises(NotAllowed):
            await strict.create_share(READER, order())
        with pytest.raises(ConditionsNeeded):
            await strict.create_share(SHARER, order())
        assert gate.archive.begun == 0
        await nothing_was_made(gate)

    async def test_holds_for_who_renews_and_not_for_who_shortens_or_withdraws(self, gate: Gate) -> None:
        share = await gate.desk.create_share(SHARER, order(max_visits=1, forced=True))
        strict = replace(gate.desk, policy=Policy(required=Required.parse("any")))
        for change in (ShareChange(expires_at=NOW + 9 * DAY), ShareChange(more_visits=1), strict.new_link()):
            with pytest.raises(ConditionsNeeded):
                await strict.change_share(SHARER, share.id, change)
        assert await gate.store.share(share.id) == share
        await strict.change_share(SHARER, share.id, ShareChange(expires_at=NOW + HOUR))
        longer = ShareChange(expires_at=NOW + 9 * DAY)
        changed = await strict.change_share(SHARER, share.id, longer, wishes=PASSCODE)
        assert changed.conditions.names == (ConditionName.PASSCODE,)
        await strict.change_share(SHARER, share.id, ShareChange(withdrawn_at=NOW))

    async def test_bounds_openings_also_of_who_adds_some(self, gate: Gate) -> None:
        bounded = replace(gate.desk, policy=Policy(most_visits=2))
        share = await bounded.create_share(SHARER, order(wishes=PASSCODE))
        assert share.max_visits == 2
        with pytest.raises(Refused, match="2 times at most"):
            await bounded.change_share(SHARER, share.id, ShareChange(more_visits=1))


class TestChanging:
    async def test_adds_to_what_is_asked_and_replaces_a_passcode(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(wishes=BIRTH_DATE))
        first = await desk.change_share(SHARER, share.id, ShareChange(), wishes=PASSCODE)
        assert first.conditions.names == (ConditionName.PASSCODE, ConditionName.BIRTH_DATE)
        assert first.conditions.birth_date == share.conditions.birth_date
        second = await desk.change_share(SHARER, share.id, ShareChange(), wishes=Wishes(passcode=Secret("other words")))
        assert not await Passcodes().right(second.conditions.passcode or "", WORDS)
        assert isinstance(await tries(gate, second, passcode="other words", birth_date=BORN), Opened)

    async def test_of_two_who_add_at_once_neither_takes_away_what_the_other_added(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        asked = (PASSCODE, BIRTH_DATE, Wishes(terms=True), Wishes(passcode=Secret("other words")))
        added = (
            desk.change_share(SHARER, share.id, ShareChange(note=str(n)), wishes=each) for n, each in enumerate(asked)
        )
        done = await asyncio.gather(*added, return_exceptions=True)
        won = [each for each in done if isinstance(each, Share)]
        assert all(isinstance(each, StoreFailed) for each in done if not isinstance(each, Share))
        kept = await desk.share(SHARER, share.id)
        assert set(kept.conditions.names) == {name for each in won for name in each.conditions.names}
        assert len(await gate.trail(Event.SHARE_CHANGED)) == len(won) >= 1

    @pytest.mark.parametrize(
        "wishes", [PASSCODE, BIRTH_DATE, Wishes(terms=True), Wishes(passcode=Secret(WORDS), paper=True)]
    )
    async def test_is_not_for_who_may_not_give(self, wishes: Wishes, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        asked = gate.archive.begun
        for subject, error in ((BLIND, NotAllowed), (READER, NotFound), (staff(), NotAllowed)):
            with pytest.raises(error):
                await desk.change_share(subject, share.id, ShareChange(), wishes=wishes)
        assert await gate.store.share(share.id) == share
        assert gate.archive.begun == asked
        assert {row.reason for row in await gate.trail(Event.REFUSAL)} == {Reason.CEILING, Reason.NO_GRANT}

    async def test_of_a_withdrawn_share_is_refused(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        await desk.change_share(SHARER, share.id, ShareChange(withdrawn_at=NOW))
        with pytest.raises(Refused, match="withdrawn"):
            await desk.change_share(SHARER, share.id, ShareChange(), wishes=PASSCODE)

    async def test_a_new_link_of_the_same_key_asks_the_same(self, gate: Gate, desk: Desk) -> None:
        wishes = Wishes(passcode=Secret(WORDS), birth_date=True, paper=True)
        share = await desk.create_share(SHARER, order(wishes=wishes))
        gate.archive.answers["/studies"] = failing(ArchiveFailed("down"))
        changed = await desk.change_share(SHARER, share.id, desk.new_link())
        assert changed.conditions == share.conditions
        assert opens(changed, paper_code(gate.ring, changed.key_id, changed.id, 2), gate.ring)
        assert not opens(changed, paper_code(gate.ring, share.key_id, share.id, 1), gate.ring)
        answers = {"passcode": WORDS, "birth_date": BORN}
        assert isinstance(await tries(gate, changed, **answers), Opened)

    async def test_a_new_link_of_a_newer_key_derives_the_birth_date_anew(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(wishes=Wishes(birth_date=True, paper=True)))
        ring = gate.ring.rotated()
        rotated = replace(desk, ring=ring)
        changed = await rotated.change_share(SHARER, share.id, rotated.new_link())
        assert changed.key_id == ring.current != share.key_id
        assert changed.conditions.birth_date != share.conditions.birth_date
        assert birth_date_right(changed, Answers(birth_date=BORN), ring)
        assert opens(changed, paper_code(ring, changed.key_id, changed.id, 2), ring)

    async def test_a_new_link_is_not_made_when_its_birth_date_cannot_be_had(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(wishes=BIRTH_DATE))
        rotated = replace(desk, ring=gate.ring.rotated())
        gate.archive.answers["/studies"] = failing(ArchiveFailed("down"))
        with pytest.raises(ArchiveFailed):
            await rotated.change_share(SHARER, share.id, rotated.new_link())
        assert await gate.store.share(share.id) == share

    async def test_a_locked_link_is_told_and_a_new_one_begins_at_zero(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(wishes=PASSCODE))
        for _ in range(5):
            await tries(gate, share, passcode="wrong garden")
        locked = await desk.share(SHARER, share.id)
        assert locked.locked_at is not None
        assert locked.attempts - locked.passed == 5
        await desk.change_share(SHARER, share.id, ShareChange(expires_at=NOW + 9 * DAY), wishes=PASSCODE)
        assert (await desk.share(SHARER, share.id)).locked_at is not None, "only a new link unlocks"
        renewed = await desk.change_share(SHARER, share.id, desk.new_link())
        assert (renewed.locked_at, renewed.attempts, renewed.passed) == (None, 0, 0)
        assert isinstance(await tries(gate, renewed, passcode=WORDS), Opened)

    async def test_an_opening_is_granted_to_a_share_that_was_used_up(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(wishes=PASSCODE, max_visits=1))
        assert isinstance(await tries(gate, share, passcode=WORDS), Opened)
        await desk.change_share(SHARER, share.id, ShareChange(more_visits=1))
        assert isinstance(await tries(gate, share, passcode=WORDS), Opened)
        assert not isinstance(await tries(gate, share, passcode=WORDS), Opened)

    async def test_a_mailed_code_needs_an_address_now_or_before(self, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        mailed = Wishes(mail_code=True)
        with pytest.raises(Refused, match="mailed to somebody"):
            await desk.change_share(SHARER, share.id, ShareChange(), wishes=mailed)
        changed = await desk.change_share(SHARER, share.id, ShareChange(mail_to="Jane@EXAMPLE.org"), wishes=mailed)
        assert (changed.mail_to, changed.conditions.mail_code) == ("Jane@example.org", True)


class TestPatients:
    async def test_are_shared_with_all_their_studies(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, of_patient())
        assert share.resources == (Resource.of("main", OK), Resource.of("main", SECOND))
        assert (share.patient, share.priors) == (PatientName("P1", "A"), Priors.PRESENT)
        visitor = await gate.open(share)
        assert (await gate.get(visitor, f"/studies/{SIBLING}/metadata")).status == 404

    async def test_are_named_beside_the_chain_and_in_no_word_of_ours(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, of_patient(Priors.FUTURE))
        [row] = await gate.trail(Event.SHARE_CREATED)
        assert row.detail["priors"] == "future"
        assert row.personal["patient"] == "P1"
        assert "'P1'" not in repr(replace(row, personal={}))
        assert "P1" not in repr(share)

    async def test_priors_are_those_of_the_study_that_is_named(self, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order((SECOND,), priors=Priors.PRESENT))
        assert [resource.study for resource in share.resources] == [SECOND, OK]
        assert share.patient == PatientName("P1", "A")
        assert (await desk.create_share(SHARER, order((SECOND,), (SIBLING,)))).patient is None

    @pytest.mark.parametrize(
        ("wanted", "words"),
        [
            (order((OK,), (SIBLING,), priors=Priors.PRESENT), "not of one patient"),
            (order((OK, SERIES), priors=Priors.PRESENT), "without priors"),
            (order((OK,), patient=AskedPatient("P1"), priors=Priors.PRESENT), "studies or of a patient"),
            (of_patient(Priors.NONE), "studies or of a patient"),
            (of_patient(Priors.PRESENT, "P1"), "more than one patient"),
            (of_patient(Priors.PRESENT, "P9"), "no study of this patient"),
        ],
    )
    async def test_are_one_and_are_there(self, wanted: ShareOrder, words: str, gate: Gate, desk: Desk) -> None:
        with pytest.raises(Refused, match=words):
            await desk.create_share(SHARER, wanted)
        await nothing_was_made(gate)

    @pytest.mark.parametrize("priors", [Priors.PRESENT, Priors.FUTURE])
    async def test_are_looked_for_by_nobody_who_may_not_share(self, priors: Priors, gate: Gate, desk: Desk) -> None:
        for subject in (READER, BLIND, staff()):
            with pytest.raises(NotAllowed) as refused:
                await desk.create_share(subject, of_patient(priors))
            assert "P1" not in str(refused.value)
        assert gate.archive.begun == 0
        await nothing_was_made(gate)

    async def test_the_birth_date_is_that_of_all_that_is_shared(self, gate: Gate, desk: Desk) -> None:
        for item in gate.archive.instances:
            if item["0020000D"]["Value"] == [SECOND]:
                item["00100030"]["Value"] = ["19850215"]
        with pytest.raises(Refused, match="do not have the same"):
            await desk.create_share(SHARER, of_patient(wishes=BIRTH_DATE))
        await nothing_was_made(gate)


class TestTelling:
    async def test_the_sender_is_to_be_told_a_day_before_the_end(self, gate: Gate, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(notify="s@example.org"))
        [mail] = await desk.mails(SHARER, share.id)
        assert (mail.kind, mail.to, mail.due_at) == (MailKind.ENDING, "s@example.org", NOW + 6 * DAY)

    async def test_whom_the_administrator_names_is_told_when_the_sender_names_nobody(self, gate: Gate) -> None:
        told = replace(gate.desk, policy=Policy(notify="desk@example.org"))
        share = await told.create_share(SHARER, order())
        other = await told.create_share(SHARER, order(notify="s@example.org"))
        assert (share.notify, other.notify) == ("desk@example.org", "s@example.org")

    async def test_a_share_that_ends_soon_anyway_and_one_that_tells_nobody_have_no_mail(self, desk: Desk) -> None:
        for wanted in (order(notify="s@example.org", expires_at=NOW + DAY), order()):
            share = await desk.create_share(SHARER, wanted)
            assert await desk.mails(SHARER, share.id) == []

    async def test_when_the_end_moves_or_somebody_is_named_another_mail_waits(self, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order())
        await desk.change_share(SHARER, share.id, ShareChange(notify="s@example.org"))
        await desk.change_share(SHARER, share.id, ShareChange(expires_at=NOW + 9 * DAY))
        await desk.change_share(SHARER, share.id, ShareChange(note="for Monday"))
        assert {mail.due_at for mail in await desk.mails(SHARER, share.id)} == {NOW + 6 * DAY, NOW + 8 * DAY}

    async def test_mails_are_for_who_may_see_the_share(self, desk: Desk) -> None:
        share = await desk.create_share(SHARER, order(notify="s@example.org"))
        assert len(await desk.mails(OTHER, share.id)) == 1
        with pytest.raises(NotFound):
            await desk.mails(READER, share.id)


async def test_a_token_that_opened_a_share_by_itself_no_longer_does_when_it_asks_something(gate: Gate) -> None:
    share = await gate.share((OK,), bearer=True, token_type="viewer-instant-link")
    changed = await gate.desk.change_share(OPERATOR, share.id, ShareChange(), wishes=PASSCODE)
    assert not changed.bearer
    assert changed.conditions != NO_CONDITIONS
