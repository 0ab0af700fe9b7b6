"""API keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyhole.access.decision import Reason
from keyhole.access.resource import Action
from keyhole.access.secret import Secret
from keyhole.access.share import ApiKey
from keyhole.access.subject import Kind, Subject
from keyhole.identity import apikey
from keyhole.identity.credential import Shown, read

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def minted(**changes: object) -> tuple[ApiKey, str]:
    order = {
        "name": "worklist",
        "roles": frozenset({"reader"}),
        "ceiling": frozenset({Action.SEARCH, Action.ADMINISTER}),
        "creator": "user:anna",
        "created_at": NOW,
    }
    return apikey.mint(**(order | changes))  # type: ignore[arg-type]


def secret_of(text: str) -> Secret:
    return Secret(text.rpartition("_")[2])


def test_a_minted_key_is_read_and_verified() -> None:
    key, text = minted()
    shown = read([(b"authorization", f"Bearer {text}".encode())], None)
    assert isinstance(shown, Shown)
    assert (shown.kind, shown.id) == (Kind.API_KEY, key.id)
    assert isinstance(apikey.verify(key, shown.secret, NOW), Subject)


def test_the_text_of_a_key_is_not_in_its_row() -> None:
    key, text = minted()
    assert secret_of(text).reveal() not in repr(key)


def test_no_two_keys_are_alike() -> None:
    (one, text), (other, more) = minted(), minted()
    assert one.id != other.id
    assert text.rpartition("_")[2] != more.rpartition("_")[2]


def test_a_key_acts_as_itself_and_its_roles_below_its_ceiling() -> None:
    key, text = minted()
    subject = apikey.verify(key, secret_of(text), NOW)
    assert subject == Subject(
        Kind.API_KEY, f"key:{key.id}", frozenset({f"key:{key.id}", "role:reader"}), frozenset({Action.SEARCH})
    )


@pytest.mark.parametrize(
    ("changes", "now", "reason"),
    [
        pytest.param({"expires_at": NOW + HOUR}, NOW + HOUR, Reason.EXPIRED, id="at its end it has ended"),
        pytest.param({"expires_at": NOW + HOUR}, NOW + 2 * HOUR, Reason.EXPIRED, id="and stays so"),
    ],
)
def test_an_ended_key_opens_nothing(changes: dict[str, object], now: datetime, reason: Reason) -> None:
    key, text = minted(**changes)
    assert apikey.verify(key, secret_of(text), now) is reason


def test_a_revoked_key_is_withdrawn() -> None:
    key, text = minted()
    revoked = ApiKey(**{name: getattr(key, name) for name in key.__slots__} | {"revoked_at": NOW})
    assert apikey.verify(revoked, secret_of(text), NOW) is Reason.WITHDRAWN


def test_who_guesses_is_not_told_that_a_key_has_ended() -> None:
    key, _ = minted(expires_at=NOW)
    assert apikey.verify(key, Secret("a" * 32), NOW) is Reason.BAD_CREDENTIAL
