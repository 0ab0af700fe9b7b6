"""Tokens for Orthanc's plugin: derived beside the link, told apart from it, and bounded in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.resource import Resource
from keyhole.access.share import Share, ShareKind
from keyhole.sharing.link import KeyRing, new_id, parse_secret, secret_of
from keyhole.sharing.token import TYPES, USUAL, Opens, bare, ends_at, parse_token, token_of, verify_token

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
RING = KeyRing.new()
SHARE = Share(
    id=new_id(),
    archive="main",
    resources=(Resource.of("main", "1.2.3"),),
    kind=ShareKind.VIEW,
    creator="plugin:orthanc",
    created_at=NOW,
    expires_at=NOW + WEEK,
    key_id=RING.current,
    token_type="ohif-viewer-publication",
)


def test_a_token_names_its_share_and_is_verified() -> None:
    parsed = parse_token(token_of(SHARE, RING).reveal())
    assert parsed is not None
    assert parsed[0] == SHARE.id
    assert verify_token(SHARE, parsed[1], RING)


def test_a_token_never_changes_between_versions() -> None:
    # It stands in the addresses that people keep, as a link's secret does.
    ring = KeyRing("one", {"one": bytes(range(32)), "two": bytes(range(32, 64))})
    share = replace(SHARE, id="abcdefghijklmnop", key_id="one")
    assert token_of(share, ring).reveal() == "kht_abcdefghijklmnop_sp2sk2f5rxgeo7qdeylmf6atuc4omywe"
    assert verify_token(share, token_of(share, ring), KeyRing("two", ring.keys))


@pytest.mark.parametrize("change", [{"archive": "other", "resources": (Resource.of("other", "1"),)}, {"id": new_id()}])
def test_a_token_is_its_share_s_alone(change: dict[str, object]) -> None:
    token, other = token_of(SHARE, RING), token_of(replace(SHARE, **change), RING)  # type: ignore[arg-type]
    assert token.reveal().rpartition("_")[2] != other.reveal().rpartition("_")[2]


def test_a_token_is_no_link_and_a_link_no_token() -> None:
    token, secret = token_of(SHARE, RING), secret_of(SHARE, RING)
    assert parse_secret(token.reveal()) is None
    assert parse_token(secret.reveal()) is None
    assert token.reveal().rpartition("_")[2] not in secret.reveal()


def test_a_new_link_ends_the_token_of_the_old_one() -> None:
    old = token_of(SHARE, RING)
    assert not verify_token(replace(SHARE, generation=2), old, RING)


def test_the_token_of_another_share_opens_nothing() -> None:
    other = replace(SHARE, id=new_id())
    assert not verify_token(other, token_of(SHARE, RING), RING)


def test_a_token_whose_key_has_left_the_ring_opens_nothing() -> None:
    assert not verify_token(SHARE, token_of(SHARE, RING), KeyRing.new())


@pytest.mark.parametrize("shown", ["x", "Bearer x", "bearer  x", " BEARER x ", "\tx\n"])
def test_what_viewers_put_in_front_is_taken_off(shown: str) -> None:
    assert bare(shown) == "x"


@pytest.mark.parametrize("shown", ["Bearer", "Basic x", "bearerx", "x Bearer y", "Xx", "\x0bx", "\u00a0x", ""])
def test_nothing_else_is_taken_off(shown: str) -> None:
    assert bare(shown) == shown


@pytest.mark.parametrize("text", ["", "kht_", "KHT_" + "a" * 16 + "_" + "a" * 32, "kht_" + "a" * 16 + "_" + "a" * 33])
def test_what_is_no_token(text: str) -> None:
    assert parse_token(text) is None


def test_publications_lead_to_the_landing_page_and_instant_links_do_not() -> None:
    assert {name: opens for name, opens in USUAL.items() if opens is Opens.DIRECT} == {
        name: Opens.DIRECT for name in TYPES if name.endswith("-instant-link")
    }


def test_a_wanted_end_comes_before_a_duration() -> None:
    assert ends_at(NOW + HOUR, 5, NOW, usual=WEEK, longest=WEEK) == NOW + HOUR


def test_an_end_without_zone_is_utc() -> None:
    assert ends_at((NOW + HOUR).replace(tzinfo=None), None, NOW, usual=WEEK, longest=WEEK) == NOW + HOUR


def test_an_end_in_another_zone_is_the_same_moment() -> None:
    elsewhere = (NOW + HOUR).astimezone(timezone(2 * HOUR))
    assert ends_at(elsewhere, None, NOW, usual=WEEK, longest=WEEK) == NOW + HOUR


@pytest.mark.parametrize("seconds", [1, 5, 7 * 24 * 3600])
def test_a_duration_from_one_second_to_the_longest_is_what_was_wished(seconds: int) -> None:
    assert ends_at(None, seconds, NOW, usual=HOUR, longest=WEEK) == NOW + timedelta(seconds=seconds)


def test_an_end_in_the_past_stays_there() -> None:
    assert ends_at(NOW - HOUR, None, NOW, usual=WEEK, longest=WEEK) < NOW


@pytest.mark.parametrize("seconds", [None, 0, -1, 94881346242483, 2**63])
def test_a_duration_that_is_no_wish_gives_the_usual_end(seconds: int | None) -> None:
    assert ends_at(None, seconds, NOW, usual=HOUR, longest=WEEK) == NOW + HOUR


@given(
    st.none() | st.datetimes(timezones=st.just(UTC) | st.none()),
    st.none() | st.integers(),
    st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
)
def test_no_link_lasts_longer_than_the_longest(wanted: datetime | None, seconds: int | None, usual: timedelta) -> None:
    assert ends_at(wanted, seconds, NOW, usual=usual, longest=WEEK) <= NOW + WEEK
