"""Links: derived, told from a typing error, and never shown by accident."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.resource import Resource
from keyhole.access.share import Share, ShareKind
from keyhole.sharing.link import KeyRing, Secret, link, parse_link, parse_secret, secret_of, verify

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RING = KeyRing("one", {"one": bytes(range(32)), "two": bytes(range(32, 64))})
SHARE = Share(
    id="abcdefghijklmnop",
    archive="main",
    resources=(Resource.of("main", "1.2.3"),),
    kind=ShareKind.VIEW,
    creator="user:anna",
    created_at=NOW,
    expires_at=NOW + timedelta(days=7),
    key_id="one",
)
SECRET = secret_of(SHARE, RING).reveal()


def test_a_link_is_lower_case_base32_in_a_fragment() -> None:
    address, _, fragment = link("https://images.example/", SHARE, RING).partition("#")
    assert address == "https://images.example/s/abcdefghijklmnop"
    assert len(fragment) == 35
    assert set(fragment) <= set("abcdefghijklmnopqrstuvwxyz234567")


@pytest.mark.parametrize(
    "url", ["https://images.example", "https://images.example/s/x", "https://images.example/PACS-X"]
)
def test_a_link_lies_below_the_public_url_whatever_that_is(url: str) -> None:
    shown = link(f"{url}//", SHARE, RING)
    assert shown == f"{url}/s/{SHARE.id}#{SECRET}"
    parsed = parse_link(shown)
    assert parsed is not None
    assert (parsed[0], parsed[1].reveal()) == (SHARE.id, SECRET)


def test_the_secret_of_a_link_never_changes_between_versions() -> None:
    # Links are in people's hands: a release that derives another secret breaks every one of them.
    assert secret_of(SHARE, RING).reveal() == "3zwvntxtjhuplme72lct2mnhprprcqx54x3"


def test_a_link_is_read_back_as_share_and_secret() -> None:
    parsed = parse_link(f" {link('https://images.example', SHARE, RING)}\n")
    assert parsed is not None
    assert parsed[0] == SHARE.id
    assert verify(SHARE, parsed[1], RING)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(f"https://images.example/s/{SHARE.id}", id="no secret"),
        pytest.param(f"https://images.example/s/{SHARE.id}#", id="an empty secret"),
        pytest.param(f"https://images.example/s/{SHARE.id}#{SECRET[:-1]}", id="a secret cut short"),
        pytest.param(f"https://images.example/s/abc#{SECRET}", id="no share's id"),
        pytest.param(f"https://images.example/{SHARE.id}#{SECRET}", id="another path"),
        pytest.param(f"https://images.example/#/s/{SHARE.id}#{SECRET}", id="a link in another page's fragment"),
    ],
)
def test_is_no_link(text: str) -> None:
    assert parse_link(text) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"archive": "research", "resources": (Resource.of("research", "1.2.3"),)}, id="archive"),
        pytest.param({"id": "abcdefghijklmnoq"}, id="share"),
        pytest.param({"generation": 2}, id="generation"),
        pytest.param({"key_id": "two"}, id="key"),
    ],
)
def test_the_secret_opens_nothing_once_this_differs(change: dict[str, object]) -> None:
    assert not verify(replace(SHARE, **change), Secret(SECRET), RING)  # type: ignore[arg-type]


def test_what_is_not_part_of_the_address_keeps_the_link() -> None:
    renewed = replace(SHARE, expires_at=NOW + timedelta(days=30), note="again", max_visits=3)
    assert verify(renewed, Secret(SECRET), RING)


def test_a_link_whose_key_has_left_the_ring_opens_nothing() -> None:
    other = KeyRing("two", {"two": RING.keys["two"]})
    assert not verify(SHARE, Secret(SECRET), other)
    with pytest.raises(KeyError):
        secret_of(SHARE, other)


def test_old_keys_open_old_links_after_a_new_one_has_become_current() -> None:
    assert verify(SHARE, Secret(SECRET), KeyRing("two", RING.keys))


@pytest.mark.parametrize("text", [SECRET, SECRET.upper(), f"  {SECRET}\r\n", SECRET.title()])
def test_case_and_white_space_are_forgiven(text: str) -> None:
    parsed = parse_secret(text)
    assert parsed is not None
    assert parsed.reveal() == SECRET


@pytest.mark.parametrize(
    "text",
    [
        *("", SECRET[:-1], SECRET + "a", SECRET.replace(SECRET[0], "1"), "é" * 35, "K" * 35),
        *(f"\x0b{SECRET}", f"{SECRET}\u00a0", f"X{SECRET}"),
    ],
)
def test_is_no_secret(text: str) -> None:
    assert parse_secret(text) is None


def test_a_letter_that_only_turns_into_one_of_ours_is_none() -> None:
    secrets = (secret_of(replace(SHARE, generation=generation), RING).reveal() for generation in range(1, 100))
    with_k = next(secret for secret in secrets if "k" in secret)
    assert parse_secret(with_k) is not None
    assert parse_secret(with_k.replace("k", "\N{KELVIN SIGN}")) is None


@given(st.integers(0, len(SECRET) - 4), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_typing_error_is_told_from_a_wrong_link(position: int, letter: str) -> None:
    # Three check characters miss 1 in 32 768 by chance; for this secret no single character does.
    typed = SECRET[:position] + letter + SECRET[position + 1 :]
    assert (parse_secret(typed) is None) is (typed != SECRET)


@given(st.text(max_size=80))
def test_any_text_is_a_link_or_none(text: str) -> None:
    assert parse_link(text) is None
    assert parse_secret(text) is None or len(text.strip()) == 35


def test_a_key_ring_is_kept_as_text_and_read_back() -> None:
    ring = KeyRing.new()
    assert KeyRing.load(ring.dump()) == ring
    assert len(ring.keys[ring.current]) == 32


def test_a_key_ring_s_file_has_a_line_for_each_key_so_that_people_can_compare_it() -> None:
    ring = KeyRing.new().rotated()
    lines = [line.strip() for line in ring.dump().splitlines()]
    assert sum(line.startswith(f'"{name}": ') for line in lines for name in ring.keys) == 2


def test_a_key_ring_does_not_show_its_keys() -> None:
    assert "\\x00" not in repr(RING)
    assert repr(RING) == "KeyRing(current='one')"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("[]", id="another shape"),
        pytest.param('{"current": "a"}', id="no keys"),
        pytest.param('{"current": "a", "keys": []}', id="keys without names"),
        pytest.param('{"current": "a", "keys": {"a": 1}}', id="a key that is no text"),
        pytest.param('{"current": "a", "keys": {"a": "!!"}}', id="a key that is no base64"),
        pytest.param(
            json.dumps({"current": "a", "keys": {"a": base64.b64encode(bytes(32)).decode() + "!"}}),
            id="a key with more behind it",
        ),
        pytest.param('{"current": "a", "keys": {"a": "c3dvcmRmaXNo"}}', id="a key that is too short"),
        pytest.param(
            json.dumps({"current": "b", "keys": {"a": base64.b64encode(bytes(32)).decode()}}), id="no current key"
        ),
    ],
)
def test_a_broken_key_ring_is_refused_without_showing_any_of_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a key ring$"):
        KeyRing.load(text)


def test_a_ring_holds_its_current_key_and_only_long_ones() -> None:
    with pytest.raises(ValueError):
        KeyRing("a", {})
    with pytest.raises(ValueError):
        KeyRing("a", {"a": bytes(31)})


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_no_two_lists_of_parts_derive_the_same_bytes(one: list[str], other: list[str]) -> None:
    assert (RING.derive("test", *one) == RING.derive("test", *other)) is (one == other)


def test_bytes_for_one_purpose_are_not_those_for_another() -> None:
    assert RING.derive("link", "a") != RING.derive("visit", "a")


def test_the_keys_of_the_trail_never_change_between_versions() -> None:
    # Rows are kept for years: a release that derives other keys finds every one of them forged.
    assert {name: key.hex() for name, key in RING.trail_keys().items()} == {
        "one": "b3ff73217f5d297c93c07b6cf1296ebffe0a33b2f2de2244660bb76624e5a036",
        "two": "a98ad6bafa0658b2bfc7f0f61278531a26158b0fe41d0ca89d40d9e8117d7ef8",
    }


def test_a_ring_is_what_it_is_at_any_moment() -> None:
    assert RING.now is RING


def test_a_new_key_is_prepared_before_it_is_used() -> None:
    ring = KeyRing.new()
    prepared = ring.with_new_key()
    assert (ring.prepared, prepared.current) == ((), ring.current)
    rotated = prepared.rotated()
    assert rotated.keys == prepared.keys
    assert (rotated.current,) == prepared.prepared
    assert (rotated.prepared, rotated.former) == ((), (ring.current,))


def test_rotation_makes_a_key_when_none_is_prepared_and_keeps_the_former_ones() -> None:
    ring = KeyRing.new()
    rotated = ring.rotated()
    assert list(rotated.keys) == [ring.current, rotated.current]
    assert rotated.current != ring.current
    assert rotated.keys[ring.current] == ring.keys[ring.current]
    assert KeyRing.load(rotated.dump()) == rotated
    assert len(set(rotated.rotated().keys.values())) == 3


def test_the_oldest_prepared_key_is_used_first() -> None:
    ring = KeyRing.new().with_new_key().with_new_key()
    first, second = ring.prepared
    assert ring.rotated().current == first
    assert ring.rotated().prepared == (second,)


def test_a_dropped_key_makes_no_link_and_still_verifies_the_trail() -> None:
    ring = KeyRing.new().rotated()
    first = ring.former[0]
    dropped = ring.without({first})
    assert list(dropped.keys) == [ring.current]
    assert dropped.trail_keys() == ring.trail_keys()
    assert ring.keys[first] not in dropped.retired.values()
    with pytest.raises(KeyError):
        dropped.derive("link", key_id=first)
    assert KeyRing.load(dropped.dump()) == dropped
    assert dropped.rotated().without({dropped.current}).trail_keys().keys() >= {first, dropped.current}


def test_the_current_key_cannot_be_dropped() -> None:
    ring = KeyRing.new()
    with pytest.raises(ValueError):
        ring.without({ring.current})


def test_a_retired_key_is_never_too_short() -> None:
    ring = KeyRing.new()
    with pytest.raises(ValueError):
        KeyRing(ring.current, ring.keys, {"gone": bytes(31)})
    assert "retired" not in ring.dump()
    assert repr(ring.rotated().without({ring.current})).count("b'") == 0
