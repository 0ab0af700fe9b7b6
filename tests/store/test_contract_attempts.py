"""What every store promises about what recipients must show: counted before it is checked, and spent once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from keyhole.access.condition import NO_CONDITIONS, Answered, Conditions
from keyhole.access.decision import Event, Reason
from keyhole.access.mail import MailKind
from keyhole.access.resource import Resource
from keyhole.access.secret import new_id
from keyhole.access.share import Origin, PatientName, Priors, Share, ShareChange
from keyhole.errors import StoreFailed
from keyhole.store.trail import TrailQuery
from tests.store.makers import (
    ASKED,
    HOUR,
    LOCK,
    MAILED,
    MINUTE,
    NOW,
    REFUSAL,
    Store,
    added,
    code,
    events,
    failed,
    mail,
    mailed,
    record,
    right,
    share,
    tried,
    visit,
)

LATER = NOW + HOUR


# -- what is kept


async def test_a_share_comes_back_with_all_that_is_asked_and_known_of_its_recipient(store: Store) -> None:
    one = share(
        conditions=Conditions(passcode="$argon2id$x", birth_date=bytes(range(32)), mail_code=True, terms=True),
        attempts=3,
        passed=1,
        tried_at=NOW,
        locked_at=LATER,
        mail_to="mara@example.org",
        notify="anna@example.org",
        language="fr",
        paper=b"\0\xff" * 16,
        priors=Priors.FUTURE,
        patient=PatientName("PAT-Ü 1", "Haus"),
    )
    await store.add_share(one, record())
    assert await store.share(one.id) == one


async def test_a_patient_without_issuer_comes_back_so(store: Store) -> None:
    one = await added(store, priors=Priors.PRESENT, patient=PatientName("1"))
    assert await store.share(one.id) == one


async def test_a_share_is_found_by_its_code_for_paper(store: Store) -> None:
    one, other = await added(store, paper=b"p" * 32), await added(store, paper=b"q" * 32)
    await added(store)
    assert await store.share_of_paper([b"x" * 32, b"p" * 32]) == one
    assert await store.share_of_paper([b"q" * 32]) == other
    assert await store.share_of_paper([b"x" * 32]) is None
    assert await store.share_of_paper([]) is None


async def test_two_shares_never_have_one_code_for_paper(store: Store) -> None:
    one = await added(store, paper=b"p" * 32)
    other = await added(store)
    with pytest.raises(StoreFailed):
        await added(store, paper=b"p" * 32)
    with pytest.raises(StoreFailed):
        await store.change_share(other.id, ShareChange(paper=b"p" * 32), record())
    assert await store.share_of_paper([b"p" * 32]) == one
    assert await store.shares() == [other, one]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(ShareChange(conditions=ASKED), {"conditions": ASKED}, id="conditions"),
        pytest.param(ShareChange(mail_to="b@example.org"), {"mail_to": "b@example.org"}, id="address"),
        pytest.param(ShareChange(notify="c@example.org"), {"notify": "c@example.org"}, id="who is told"),
        pytest.param(ShareChange(language="de"), {"language": "de"}, id="language"),
        pytest.param(ShareChange(paper=b"n" * 32), {"paper": b"n" * 32}, id="paper"),
    ],
)
async def test_a_change_changes_what_it_names_of_a_recipient(
    store: Store, change: ShareChange, expected: dict[str, object]
) -> None:
    one = await added(store, conditions=Conditions(terms=True), mail_to="a@example.org", paper=b"p" * 32, attempts=2)
    generation = await store.generation()
    assert await store.change_share(one.id, change, record(Event.SHARE_CHANGED)) == replace(one, **expected)
    assert await store.share(one.id) == replace(one, **expected)
    assert await store.generation() == generation + 1


async def test_conditions_are_replaced_only_while_they_are_those_that_were_meant(store: Store) -> None:
    one = await added(store, conditions=Conditions(terms=True))
    stale = ShareChange(conditions=ASKED, instead_of=NO_CONDITIONS, note="n")
    with pytest.raises(StoreFailed):
        await store.change_share(one.id, stale, record(Event.SHARE_CHANGED))
    assert await store.share(one.id) == one
    assert not [row for row in await store.trail(TrailQuery()) if row.record.event is Event.SHARE_CHANGED]
    meant = replace(stale, instead_of=one.conditions)
    changed = await store.change_share(one.id, meant, record(Event.SHARE_CHANGED))
    assert changed == replace(one, conditions=ASKED, note="n")


async def test_a_new_link_begins_the_counts_anew_and_has_no_code_for_paper(store: Store) -> None:
    tries = {"attempts": 5, "passed": 1, "tried_at": NOW, "locked_at": NOW}
    one = await added(store, conditions=ASKED, paper=b"p" * 32, **tries)
    begun = {"attempts": 0, "passed": 0, "tried_at": None, "locked_at": None}
    renewed = await store.change_share(one.id, ShareChange(new_link_key="ring-2"), record())
    assert renewed == replace(one, key_id="ring-2", generation=2, paper=None, **begun)  # type: ignore[arg-type]
    assert await store.share(one.id) == renewed
    again = await store.change_share(one.id, ShareChange(new_link_key="ring-2", paper=b"n" * 32), record())
    assert again == replace(renewed, generation=3, paper=b"n" * 32)
    assert await store.share_of_paper([b"p" * 32]) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(ShareChange(new_link_key="ring-2"), id="a new link"),
        pytest.param(ShareChange(mail_to="b@example.org"), id="another recipient"),
    ],
)
async def test_none_of_the_codes_before_is_left_to(store: Store, change: ShareChange) -> None:
    one = await added(store, conditions=MAILED, mail_to="a@example.org")
    await mailed(store, one)
    await store.change_share(one.id, ShareChange(note="n", mail_to="a@example.org"), record())
    assert await store.code(one.id) is not None
    await store.change_share(one.id, change, record())
    assert await store.code(one.id) is None


async def test_a_share_that_asks_for_something_has_no_token_any_more(store: Store) -> None:
    one = await added(store, bearer=True, origin=Origin.PLUGIN)
    changed = await store.change_share(one.id, ShareChange(conditions=ASKED), record())
    assert changed == replace(one, conditions=ASKED, bearer=False)
    again = await store.change_share(one.id, ShareChange(conditions=NO_CONDITIONS), record())
    assert again == replace(one, bearer=False)


async def test_resources_are_replaced_and_found_by_their_studies(store: Store) -> None:
    first, second, third = (Resource.of("main", f"1.2.{number}") for number in (1, 2, 3))
    one = await added(store, resources=(first, second), orthanc_ids=("a", "b"))
    changed = await store.change_share(one.id, ShareChange(resources=(second, third)), record())
    assert changed == replace(one, resources=(second, third), orthanc_ids=())
    assert await store.shares(study="1.2.1") == []
    assert await store.shares(study="1.2.2") == [changed]
    assert await store.shares(study="1.2.3") == [changed]


async def test_orthancs_names_stay_when_they_are_known_of_all(store: Store) -> None:
    first, second = (Resource.of("main", f"1.2.{number}") for number in (1, 2))
    one = await added(store, resources=(first, second), orthanc_ids=("a", "b"))
    changed = await store.change_share(one.id, ShareChange(resources=(second,)), record())
    assert changed == replace(one, resources=(second,), orthanc_ids=("b",))


# -- opening


async def test_a_share_that_asks_for_something_is_not_opened_without_answers(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    assert await store.begin_visit(visit(one), NOW, record(Event.VISIT_BEGUN)) is Reason.ANSWERS_NEEDED
    assert await store.share(one.id) == one
    assert await events(store) == [Event.SHARE_CREATED]


async def test_right_answers_open_it_and_the_attempt_has_passed(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    taken = await tried(store, one)
    assert taken == replace(one, attempts=1, tried_at=NOW)
    counted = await right(store, one, now=LATER)
    assert counted == replace(taken, passed=1, visits=1, first_opened_at=LATER, last_opened_at=LATER)
    assert await store.share(one.id) == counted


async def test_an_answer_that_no_attempt_was_taken_up_for_opens_nothing(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    assert await right(store, one) is Reason.WRONG_ANSWER
    await tried(store, one)
    assert isinstance(await right(store, one), Share)
    assert await right(store, one) is Reason.WRONG_ANSWER
    assert len(await store.visits(one.id)) == 1


@pytest.mark.parametrize(
    "answered",
    [
        pytest.param(NO_CONDITIONS, id="none"),
        pytest.param(replace(ASKED, passcode="$argon2id$v=19$y"), id="another passcode"),
        pytest.param(replace(ASKED, birth_date=b"e" * 32), id="another day"),
        pytest.param(replace(ASKED, birth_date=None), id="fewer"),
        pytest.param(replace(ASKED, terms=True), id="more"),
    ],
)
async def test_what_was_answered_must_be_what_is_asked_at_that_moment(store: Store, answered: Conditions) -> None:
    one = await added(store, conditions=ASKED)
    before = await tried(store, one)
    assert await right(store, one, Answered(answered)) is Reason.WRONG_ANSWER
    assert await store.share(one.id) == before
    assert await store.visits(one.id) == []


async def test_a_share_that_asks_for_nothing_counts_no_attempt(store: Store) -> None:
    one = await added(store)
    counted = await right(store, one, Answered(NO_CONDITIONS))
    assert isinstance(counted, Share)
    assert (counted.visits, counted.attempts, counted.passed) == (1, 0, 0)
    assert await right(store, one, Answered(ASKED)) is Reason.WRONG_ANSWER


LOCKED = [
    pytest.param({"withdrawn_at": NOW}, Reason.WITHDRAWN, id="withdrawn"),
    pytest.param({"expires_at": NOW}, Reason.EXPIRED, id="expired"),
    pytest.param({"not_before": LATER}, Reason.NOT_YET, id="too early"),
    pytest.param({"locked_at": NOW, "max_visits": 1, "visits": 1}, Reason.LOCKED, id="locked, before used up"),
    pytest.param({"max_visits": 1, "visits": 1}, Reason.USED_UP, id="used up"),
    pytest.param({"generation": 2}, Reason.WITHDRAWN, id="with a link that was renewed"),
]


@pytest.mark.parametrize("asked", [NO_CONDITIONS, ASKED], ids=["asking nothing", "asking"])
@pytest.mark.parametrize(("changes", "reason"), LOCKED)
async def test_a_closed_share_takes_no_attempt_and_opens_to_no_answer(
    store: Store, changes: dict[str, object], reason: Reason, asked: Conditions
) -> None:
    one = await added(store, conditions=asked, attempts=1, tried_at=NOW, **changes)
    generation = await store.generation()
    assert await store.begin_attempt(one.id, 1, 5, NOW, LOCK, [mail(one)]) is reason
    opening = store.begin_visit(visit(one), NOW, record(), link_generation=1, answered=Answered(asked))
    assert await opening is reason
    assert await store.share(one.id) == one
    assert await events(store) == [Event.SHARE_CREATED]
    assert await store.mails(one.id) == []
    assert await store.generation() == generation


async def test_a_share_that_is_gone_takes_no_attempt(store: Store) -> None:
    assert await tried(store, share()) is Reason.WITHDRAWN
    assert await failed(store, share()) is None
    assert await events(store) == []


# -- attempts


async def test_attempts_are_counted_and_move_no_generation(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    generation = await store.generation()
    for number in (1, 2, 3):
        taken = await tried(store, one, now=NOW + number * MINUTE)
        assert taken == replace(one, attempts=number, tried_at=NOW + number * MINUTE)
        assert await failed(store, one) == taken
    assert await store.generation() == generation
    assert await events(store) == [Event.SHARE_CREATED] + [Event.REFUSAL] * 3


async def test_the_last_wrong_answer_locks_the_share_in_the_same_step(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    told = mail(one, kind=MailKind.LOCKED, to="anna@example.org")
    for _ in range(2):
        await tried(store, one, most=2)
        assert await store.mails(one.id) == []
        generation = await store.generation()
        after = await store.fail_attempt(one.id, 1, 2, LATER, REFUSAL, LOCK, [told])
    assert after == replace(one, attempts=2, tried_at=NOW, locked_at=LATER)
    assert await store.share(one.id) == after
    assert await store.mails(one.id) == [told]
    assert (await events(store))[1:] == [Event.REFUSAL, Event.REFUSAL, Event.SHARE_LOCKED]
    assert await store.generation() == generation + 1, "workers that remember the share read it again"


async def test_a_locked_share_is_locked_once(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    await tried(store, one, most=2)
    await tried(store, one, most=2)
    locked = await failed(store, one, most=2)
    assert await failed(store, one, most=2, now=LATER) == locked
    assert (await events(store))[1:] == [Event.REFUSAL, Event.SHARE_LOCKED, Event.REFUSAL]
    assert await right(store, one) is Reason.LOCKED


async def test_a_wrong_answer_to_the_link_before_locks_nothing(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    await tried(store, one, most=1)
    renewed = await store.change_share(one.id, ShareChange(new_link_key="ring-2"), record())
    assert await failed(store, one, most=1) == renewed
    assert await tried(store, one, most=1) is Reason.WITHDRAWN
    assert renewed is not None
    taken = await tried(store, renewed, most=1)
    assert isinstance(taken, Share)
    assert await failed(store, one, most=1) == taken, "what is under way with the new link may yet be right"
    assert isinstance(await right(store, renewed), Share)


async def test_while_all_that_are_left_are_under_way_there_are_too_many(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    for _ in range(2):
        await tried(store, one, most=2)
    before = await store.share(one.id)
    assert await tried(store, one, most=2, now=NOW + MINUTE - timedelta(microseconds=1)) is Reason.TOO_MANY
    assert await store.share(one.id) == before
    assert isinstance(await right(store, one), Share)
    assert isinstance(await tried(store, one, most=2), Share), "one was right, and leaves room for another"


async def test_what_was_under_way_for_a_minute_was_in_vain(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    told = mail(one, kind=MailKind.LOCKED)
    for _ in range(2):
        await tried(store, one, most=2)
    before = await store.generation()
    assert await store.begin_attempt(one.id, 1, 2, NOW + MINUTE, LOCK, [told]) is Reason.LOCKED
    assert await store.share(one.id) == replace(one, attempts=2, tried_at=NOW, locked_at=NOW + MINUTE)
    assert await store.mails(one.id) == [told]
    assert (await events(store))[1:] == [Event.SHARE_LOCKED]
    assert await store.generation() == before + 1
    assert await tried(store, one, most=2, now=LATER) is Reason.LOCKED
    assert (await events(store))[1:] == [Event.SHARE_LOCKED], "once"


async def test_a_lower_number_of_wrong_answers_counts_at_once(store: Store) -> None:
    one = await added(store, conditions=ASKED, attempts=4, passed=1, tried_at=NOW)
    assert await tried(store, one, most=3, now=LATER) is Reason.LOCKED


async def test_a_clock_that_was_set_back_does_not_make_an_attempt_older(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    await tried(store, one, most=2)
    taken = await tried(store, one, most=2, now=NOW - HOUR)
    assert isinstance(taken, Share)
    assert taken.tried_at == NOW
    assert await tried(store, one, most=2, now=NOW) is Reason.TOO_MANY


@pytest.mark.parametrize("most", [1, 5])
async def test_of_many_simultaneous_guesses_no_more_are_taken_up(store: Store, most: int) -> None:
    one = await added(store, conditions=ASKED)
    outcomes = await asyncio.gather(*(tried(store, one, most=most) for _ in range(60)))
    assert sum(isinstance(outcome, Share) for outcome in outcomes) == most
    assert outcomes.count(Reason.TOO_MANY) == 60 - most


async def test_right_answers_never_use_attempts_up(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    for number in range(1, 8):
        assert isinstance(await tried(store, one, most=2), Share)
        counted = await right(store, one)
        assert isinstance(counted, Share)
        assert (counted.attempts, counted.passed) == (number, number)


# -- mailed codes


async def test_a_code_opens_once(store: Store) -> None:
    one = await added(store, conditions=MAILED, mail_to="a@example.org")
    sent = await mailed(store, one)
    assert await store.code(one.id) == sent
    for _ in range(2):
        await tried(store, one)
    assert isinstance(await right(store, one, Answered(MAILED, sent.nonce)), Share)
    assert await store.code(one.id) is None
    assert await right(store, one, Answered(MAILED, sent.nonce)) is Reason.WRONG_ANSWER


async def test_of_many_who_show_a_code_at_once_one_gets_in(store: Store) -> None:
    one = await added(store, conditions=MAILED, mail_to="a@example.org", attempts=20, tried_at=NOW)
    sent = await mailed(store, one)
    outcomes = await asyncio.gather(*(right(store, one, Answered(MAILED, sent.nonce)) for _ in range(20)))
    assert sum(isinstance(outcome, Share) for outcome in outcomes) == 1
    assert outcomes.count(Reason.WRONG_ANSWER) == 19
    kept = await store.share(one.id)
    assert kept is not None
    assert (kept.passed, kept.visits) == (1, 1)


async def test_only_the_newest_code_opens(store: Store) -> None:
    one = await added(store, conditions=MAILED, mail_to="a@example.org", attempts=9, tried_at=NOW)
    first, second = await mailed(store, one), await mailed(store, one)
    assert await store.code(one.id) == second
    assert await right(store, one, Answered(MAILED, first.nonce)) is Reason.WRONG_ANSWER
    assert await right(store, one, Answered(MAILED)) is Reason.WRONG_ANSWER
    assert await store.code(one.id) == second, "a wrong answer spends nothing"
    assert isinstance(await right(store, one, Answered(MAILED, second.nonce)), Share)


async def test_a_code_asked_for_again_gives_no_attempt_back(store: Store) -> None:
    one = await added(store, conditions=MAILED, mail_to="a@example.org")
    await tried(store, one)
    before = await failed(store, one)
    await mailed(store, one)
    assert await store.share(one.id) == before


async def test_a_code_is_good_until_its_end_and_for_its_own_link(store: Store) -> None:
    one = await added(store, conditions=MAILED, mail_to="a@example.org", attempts=9, tried_at=NOW)
    sent = await mailed(store, one)
    assert await right(store, one, Answered(MAILED, sent.nonce), now=sent.ends_at) is Reason.WRONG_ANSWER
    old = await mailed(store, one, generation=7)
    assert await right(store, one, Answered(MAILED, old.nonce)) is Reason.WRONG_ANSWER
    other = await added(store, conditions=MAILED, mail_to="a@example.org", attempts=9, tried_at=NOW)
    await mailed(store, other, nonce="n")
    assert await right(store, one, Answered(MAILED, "n")) is Reason.WRONG_ANSWER


async def test_a_code_is_on_the_trail_with_its_mail(store: Store) -> None:
    one = await added(store, conditions=MAILED, mail_to="a@example.org")
    made, sent = code(one), mail(one, kind=MailKind.CODE, nonce="n")
    generation = await store.generation()
    assert await store.add_code(made, sent, (), record(Event.MAIL_SENT, share=one.id)) == {}
    assert await store.mails(one.id) == [sent]
    assert [row.record.event for row in await store.trail(TrailQuery(share=one.id))] == [
        Event.SHARE_CREATED,
        Event.MAIL_SENT,
    ]
    assert await store.generation() == generation
    assert await store.code(new_id()) is None


# -- mails with changes


async def test_mails_are_kept_with_a_new_share_and_with_a_change(store: Store) -> None:
    one = share()
    first, second, third = mail(one), mail(one), mail(one)
    await store.add_share(one, record(), [first])
    await store.change_share(one.id, ShareChange(note="n"), record(), [second])
    assert await store.mails(one.id) == [first, second]
    generation = await store.generation()
    changed = await store.change_share(one.id, ShareChange(), record(Event.SHARE_CHANGED), [third])
    assert changed == replace(one, note="n")
    assert await store.mails(one.id) == [first, second, third]
    assert (await events(store))[2:] == [Event.SHARE_CHANGED], "a mail alone is on the trail as well"
    assert await store.generation() == generation


async def test_no_mail_without_its_share_and_no_share_without_its_mail(store: Store) -> None:
    one, known = await added(store), share()
    sent = mail(one)
    await store.change_share(one.id, ShareChange(), record(), [sent])
    with pytest.raises(StoreFailed):
        await store.add_share(known, record(), [sent])
    assert await store.share(known.id) is None
    assert await store.change_share(known.id, ShareChange(), record(), [mail(known)]) is None
    assert await store.mails(known.id) == []


async def test_the_first_opening_is_told_once(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    for number in range(2):
        await tried(store, one)
        await right(store, one, first=[mail(one, kind=MailKind.OPENED, id=f"mail-{number}")])
    assert [each.id for each in await store.mails(one.id)] == ["mail-0"]


async def test_an_opening_that_is_refused_tells_nobody(store: Store) -> None:
    one = await added(store, conditions=ASKED)
    assert await right(store, one, first=[mail(one)]) is Reason.WRONG_ANSWER
    assert await store.mails(one.id) == []
