"""How often strangers may do what, in the database that is always there (recipients' fact sheet, sections 6 and 7).

A bucket gives what it holds at once and what drips in later, so in no span of time more than both together.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta

from keyhole.access.limit import Bucket
from keyhole.access.secret import base32
from keyhole.sharing.link import Ring

_NAME_BYTES = 15
_OF_ONE_HOME = 64


def answers_from(ring: Ring, address: str) -> Bucket:
    """Answers to what links ask from one client's address: 10 a minute, 20 at once."""
    return _bucket(ring, "answers", network(address), 20, timedelta(seconds=6))


def answers_from_all(ring: Ring) -> Bucket:
    """Answers from everybody: what is more is slowed down, and never refused."""
    return _bucket(ring, "answers", "everybody", 200, timedelta(milliseconds=50))


def codes(ring: Ring, share_id: str, mail_to: str) -> tuple[Bucket, ...]:
    """Mailed codes: 3 in 15 minutes and 10 a day, for a share and for the address that they go to."""
    return tuple(
        _bucket(ring, f"{kind} {length}", whom, at_once, every)
        for kind, whom in (("codes of share", share_id), ("codes to", mail_to.casefold()))
        for length, at_once, every in (("soon", 3, timedelta(minutes=15)), ("long", 5, timedelta(hours=24) / 5))
    )


def paper_from(ring: Ring, address: str) -> Bucket:
    """Codes for paper, right or not, from one client's address: 10 a minute, 20 at once."""
    return _bucket(ring, "paper", network(address), 20, timedelta(seconds=6))


def paper_misses(ring: Ring, address: str) -> Bucket:
    """Unknown codes for paper from one client's address: 20 an hour."""
    return _bucket(ring, "paper misses", network(address), 20, timedelta(minutes=3))


def paper_block(ring: Ring, address: str) -> Bucket:
    """What is taken once when those are used up: while it is empty, for an hour, that address gets no answer."""
    return _bucket(ring, "paper block", network(address), 1, timedelta(hours=1))


def paper_misses_of_all(ring: Ring) -> Bucket:
    """Unknown codes for paper from everybody: what is more is a search for codes, which is slowed down."""
    return _bucket(ring, "paper misses", "everybody", 100, timedelta(seconds=10))


def links_mailed(ring: Ring, sender: str) -> Bucket:
    """Links that one sender has mailed: 30 at once, and one more in 20 seconds."""
    return _bucket(ring, "links mailed by", sender, 30, timedelta(seconds=20))


def network(address: str) -> str:
    """Whom *address* stands for: an IPv4 address for itself, an IPv6 address for its /64, which one home has whole."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known, _OF_ONE_HOME), strict=False))


def _bucket(ring: Ring, what: str, whom: str, at_once: int, every: timedelta) -> Bucket:
    """Named by a keyed digest: who reads the database learns no address."""
    digest = base32(ring.derive("bucket", what, whom)[:_NAME_BYTES])
    return Bucket(f"{what} {digest}", at_once, every)
