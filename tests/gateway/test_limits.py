"""Who is limited, under which name."""

from __future__ import annotations

import pytest

from keyhole.gateway import limits
from keyhole.sharing.link import KeyRing

RING = KeyRing.new()


@pytest.mark.parametrize(
    ("address", "whom"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_an_address_stands_for_whoever_has_all_of_it(address: str, whom: str) -> None:
    assert limits.network(address) == whom


def test_one_home_is_one_whatever_address_it_takes() -> None:
    names = {limits.answers_from(RING, f"2001:db8:1:2::{number:x}").name for number in range(100)}
    assert len(names) == 1
    assert limits.answers_from(RING, "2001:db8:1:3::1").name not in names


def test_no_name_tells_the_address_or_is_the_same_elsewhere() -> None:
    buckets = [limits.answers_from(RING, "192.0.2.7"), *limits.codes(RING, "a" * 16, "maria@example.org")]
    names = " ".join(bucket.name for bucket in buckets)
    assert "192" not in names
    assert "maria" not in names
    assert "aaaa" not in names
    assert len({bucket.name for bucket in buckets}) == len(buckets)
    assert limits.answers_from(KeyRing.new(), "192.0.2.7").name != buckets[0].name


def test_an_address_for_mail_is_one_however_its_case() -> None:
    one, other = (limits.codes(RING, "a" * 16, to) for to in ("Maria@example.org", "maria@EXAMPLE.org"))
    assert one == other
