"""What becomes of a mail whose time has come."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.mail import MailCode, MailKind
from keyhole.gateway.post.fate import Beside, Drop, Later, MailState, Send, dropped, fate, state
from tests.gateway.post.makers import NOW, a_share, all_mails

DAY = timedelta(days=1)
CODE = MailCode(
    share="s", generation=1, nonce="nonce", ticket=b"", created_at=NOW, ends_at=NOW + timedelta(minutes=10)
)  # fmt: skip
SHARE = a_share()
MAILS = all_mails(SHARE)
LINK, A_CODE, OPENED, LOCKED, ENDING = MailKind


def becomes(kind: MailKind, *, after: timedelta = timedelta(), code: MailCode | None = CODE, **changes: Any) -> Any:
    share = replace(SHARE, **changes)
    return fate(MAILS[kind], Beside(share, code, tuple(MAILS.values())), NOW + after)


WITHDRAWN = {"withdrawn_at": NOW}
ENDED = {"expires_at": NOW}
LOCKED_NOW = {"locked_at": NOW}
NEW_LINK = {"generation": 2}
USED_UP = {"max_visits": 1, "visits": 1}
NOT_YET = {"not_before": NOW + DAY}


@pytest.mark.parametrize(
    ("kind", "changes", "sent"),
    [
        pytest.param(LINK, {}, True, id="a link that opens is sent"),
        pytest.param(LINK, NOT_YET, True, id="and one that opens later"),
        pytest.param(LINK, WITHDRAWN, False, id="not one that was withdrawn"),
        pytest.param(LINK, ENDED, False, id="nor one that has ended"),
        pytest.param(LINK, LOCKED_NOW, False, id="nor one that is locked"),
        pytest.param(LINK, USED_UP, False, id="nor one that is used up"),
        pytest.param(LINK, NEW_LINK, False, id="nor one that was replaced: its mail would bring the new one"),
        pytest.param(A_CODE, {}, True, id="a code is sent"),
        pytest.param(A_CODE, NEW_LINK, False, id="not for an earlier link"),
        pytest.param(A_CODE, LOCKED_NOW, False, id="nor for one that is locked"),
        pytest.param(A_CODE, WITHDRAWN, False, id="nor for one that was withdrawn"),
        pytest.param(OPENED, {}, True, id="that a link was opened is told"),
        pytest.param(OPENED, WITHDRAWN | NEW_LINK, True, id="whatever has happened since"),
        pytest.param(LOCKED, LOCKED_NOW, True, id="that a link is locked is told"),
        pytest.param(LOCKED, LOCKED_NOW | NEW_LINK, False, id="not when there is a new one"),
        pytest.param(LOCKED, LOCKED_NOW | WITHDRAWN, False, id="nor when it was withdrawn"),
        pytest.param(ENDING, {"expires_at": NOW + DAY}, True, id="that a share ends within a day is told"),
        pytest.param(ENDING, {"expires_at": NOW + DAY} | NEW_LINK, True, id="whichever link it has"),
        pytest.param(ENDING, {"expires_at": NOW + DAY} | WITHDRAWN, False, id="not when it was withdrawn"),
        pytest.param(ENDING, {"expires_at": NOW + DAY} | USED_UP, False, id="nor when nobody can open it"),
        pytest.param(ENDING, ENDED, False, id="nor when it is over"),
    ],
)
def test_only_what_is_still_so_is_said(kind: MailKind, changes: dict[str, Any], sent: bool) -> None:
    assert isinstance(becomes(kind, **changes), Send if sent else Drop)


def test_of_no_share_nothing_is_said() -> None:
    assert isinstance(fate(MAILS[OPENED], Beside(None), NOW), Drop)


@pytest.mark.parametrize(
    "code",
    [None, replace(CODE, nonce="newer"), replace(CODE, ends_at=NOW)],
    ids=["it was used", "there is a newer one", "it has ended"],
)
def test_a_code_that_opens_nothing_is_not_sent(code: MailCode | None) -> None:
    assert isinstance(becomes(A_CODE, code=code), Drop)


def test_a_reminder_comes_when_the_share_really_ends() -> None:
    assert becomes(ENDING, after=5 * DAY, expires_at=NOW + 30 * DAY) == Later(NOW + 29 * DAY)
    assert becomes(ENDING, after=29 * DAY, expires_at=NOW + 30 * DAY) == Send(NOW + 30 * DAY)


def test_of_several_reminders_the_newest_comes_alone() -> None:
    old, share = MAILS[ENDING], replace(SHARE, expires_at=NOW + DAY)
    new = replace(old, id="z" * 16, created_at=NOW + timedelta(seconds=1))
    assert isinstance(fate(old, Beside(share, None, (old, new)), NOW), Drop)
    assert isinstance(fate(new, Beside(share, None, (old, new)), NOW), Send)
    gone = replace(new, failed_at=NOW)
    assert isinstance(fate(old, Beside(share, None, (old, gone)), NOW), Send)


def test_a_mail_is_tried_until_its_time_is_over() -> None:
    assert becomes(LINK) == Send(NOW + DAY)
    assert becomes(A_CODE) == Send(NOW + timedelta(minutes=10))
    assert becomes(OPENED) == Send(NOW + 7 * DAY)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, MailState.WAITING),
        ({"problem": "the mail server did not take the mail"}, MailState.WAITING),
        ({"sent_at": NOW}, MailState.SENT),
        ({"failed_at": NOW, "problem": "the mail server did not take the mail"}, MailState.FAILED),
        ({"failed_at": NOW}, MailState.FAILED),
        ({"failed_at": NOW, "problem": dropped("the share was withdrawn")}, MailState.DROPPED),
    ],
)
def test_how_far_a_mail_has_come_is_a_word(changes: dict[str, Any], wanted: MailState) -> None:
    assert state(replace(MAILS[LINK], **changes)) is wanted
