"""What every store promises about mail that waits: one claimer for each, and again when nothing came of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from keyhole.access.decision import Event
from keyhole.access.mail import Mail, MailKind
from keyhole.access.secret import new_id
from keyhole.access.share import ShareChange
from tests.store.makers import HOUR, MINUTE, NOW, Store, added, events, mail, record

SOON = NOW + MINUTE
LATER = NOW + HOUR


async def posted(store: Store, *, count: int = 1, **changes: object) -> list[Mail]:
    one = await added(store)
    mails = [mail(one, **changes) for _ in range(count)]
    await store.change_share(one.id, ShareChange(), record(), mails)
    return mails


async def test_a_mail_comes_back_as_it_was_kept(store: Store) -> None:
    values = {"language": "de", "nonce": "n", "tries": 3, "failed_at": LATER, "problem": "Postfach voll: Größe"}
    (sent,) = await posted(store, kind=MailKind.CODE, to="mära@example.org", **values)
    assert await store.mails(sent.share) == [sent]
    assert await store.mails(new_id()) == []


async def test_what_a_database_cannot_hold_is_escaped(store: Store) -> None:
    (sent,) = await posted(store, failed_at=NOW, problem="a\0b\ud800")
    assert await store.mails(sent.share) == [replace(sent, problem="a\\x00b\\ud800")]


async def test_the_longest_due_come_first_and_with_one_try_more(store: Store) -> None:
    mails = await posted(store, count=3)
    claimed = await store.claim_mails(LATER, LATER + MINUTE, 2)
    assert claimed == [replace(each, due_at=LATER + MINUTE, tries=1) for each in mails[:2]]
    assert await store.mails(mails[0].share) == [*claimed, mails[2]]


async def test_codes_that_somebody_waits_for_come_before_any_number_of_notices(store: Store) -> None:
    notices = await posted(store, count=50, kind=MailKind.ENDING)
    codes = await posted(store, count=2, kind=MailKind.CODE, nonce="n", due_at=SOON)
    claimed = await store.claim_mails(LATER, LATER + MINUTE, 3)
    assert [each.id for each in claimed] == [*sorted(each.id for each in codes), notices[0].id]


async def test_a_mail_is_due_at_its_moment_and_not_before(store: Store) -> None:
    (sent,) = await posted(store, due_at=LATER)
    assert await store.claim_mails(NOW, SOON, 10) == []
    assert [each.id for each in await store.claim_mails(LATER, LATER + MINUTE, 10)] == [sent.id]


async def test_nobody_else_gets_a_claimed_mail_until_its_time(store: Store) -> None:
    (sent,) = await posted(store)
    assert len(await store.claim_mails(SOON, LATER, 10)) == 1
    assert await store.claim_mails(SOON, LATER, 10) == []
    again = await store.claim_mails(LATER, LATER + MINUTE, 10)
    assert again == [replace(sent, due_at=LATER + MINUTE, tries=2)], "whoever claimed it has died"


async def test_each_mail_goes_to_one_of_many_claimers(store: Store) -> None:
    mails = await posted(store, count=30)
    claims = await asyncio.gather(*(store.claim_mails(SOON, LATER, 3) for _ in range(20)))
    assert sorted(each.id for claim in claims for each in claim) == sorted(each.id for each in mails)


async def test_a_mail_that_was_sent_or_given_up_is_settled_for_good(store: Store) -> None:
    await posted(store, count=2)
    sent, given_up = await store.claim_mails(SOON, LATER, 2)
    sent, given_up = replace(sent, sent_at=SOON), replace(given_up, failed_at=SOON, problem="refused")
    generation = await store.generation()
    await store.settle_mail(sent)
    await store.settle_mail(given_up, record(Event.FAILURE))
    assert await store.mails(sent.share) == [sent, given_up]
    assert await store.claim_mails(LATER, LATER, 10) == []
    assert await store.generation() == generation
    assert (await events(store))[-1] is Event.FAILURE


async def test_a_mail_that_could_not_be_sent_is_tried_again(store: Store) -> None:
    await posted(store)
    (claimed,) = await store.claim_mails(SOON, LATER, 1)
    tried = replace(claimed, due_at=LATER + HOUR, problem="no answer")
    await store.settle_mail(tried)
    assert await store.claim_mails(LATER, LATER + MINUTE, 1) == []
    again = await store.claim_mails(LATER + HOUR, LATER + 2 * HOUR, 1)
    assert again == [replace(tried, due_at=LATER + 2 * HOUR, tries=2)]


async def test_who_has_lost_a_claim_settles_nothing_but_that_it_was_sent(store: Store) -> None:
    await posted(store)
    (slow,) = await store.claim_mails(SOON, LATER, 1)
    (quick,) = await store.claim_mails(LATER, LATER + HOUR, 1)
    before = await events(store)
    await store.settle_mail(replace(slow, failed_at=LATER, problem="gave up"), record(Event.FAILURE))
    assert await store.mails(quick.share) == [quick]
    assert await events(store) == before, "no record of what was not kept"
    await store.settle_mail(replace(slow, sent_at=LATER))
    await store.settle_mail(replace(quick, due_at=LATER + HOUR, problem="refused, for it has it"))
    (kept,) = await store.mails(quick.share)
    assert (kept.sent_at, kept.failed_at, kept.problem, kept.tries) == (LATER, None, None, 2)


async def test_the_first_time_that_it_was_sent_stands(store: Store) -> None:
    await posted(store)
    (claimed,) = await store.claim_mails(SOON, LATER, 1)
    await store.settle_mail(replace(claimed, failed_at=SOON, problem="no"))
    await store.settle_mail(replace(claimed, sent_at=LATER))
    await store.settle_mail(replace(claimed, sent_at=LATER + HOUR))
    assert await store.mails(claimed.share) == [replace(claimed, sent_at=LATER)]


async def test_settling_an_unknown_mail_changes_nothing(store: Store) -> None:
    await store.settle_mail(mail(new_id(), sent_at=NOW), record())
    assert await events(store) == []


async def test_what_could_not_be_sent_is_listed_newest_first(store: Store) -> None:
    failed = [(await posted(store, failed_at=NOW + number * MINUTE, problem="x"))[0] for number in range(3)]
    await posted(store, sent_at=NOW)
    await posted(store)
    assert await store.failed_mails() == failed[::-1]
    assert await store.failed_mails(1) == [failed[2]]
