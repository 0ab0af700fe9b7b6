"""Whose address the trail gets."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.gateway.address import client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")]
PROXY = {"client": ("10.0.0.1", 4711)}
STRANGER = {"client": ("203.0.113.9", 4711)}


def xff(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


def forwarded(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"forwarded", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("scope", "headers", "address"),
    [
        pytest.param(STRANGER, [], "203.0.113.9", id="without a proxy it is the socket's"),
        pytest.param(STRANGER, xff("192.0.2.1"), "203.0.113.9", id="a stranger's word is not taken"),
        pytest.param(PROXY, [], "10.0.0.1", id="a silent proxy stands for itself"),
        pytest.param(PROXY, xff("192.0.2.1"), "192.0.2.1", id="a trusted proxy's word is taken"),
        pytest.param(PROXY, xff("192.0.2.7, 192.0.2.1"), "192.0.2.1", id="what the client put before it is not"),
        pytest.param(PROXY, xff("rubbish, 192.0.2.1"), "192.0.2.1", id="even when that is no address"),
        pytest.param(PROXY, xff("192.0.2.1, 10.9.9.9"), "192.0.2.1", id="trusted proxies in a row are passed"),
        pytest.param(PROXY, xff("10.2.2.2, 10.9.9.9"), "10.2.2.2", id="a proxy may ask for itself"),
        pytest.param(PROXY, xff("192.0.2.1, rubbish, 10.9.9.9"), "10.0.0.1", id="rubbish on the way ends the trust"),
        pytest.param(PROXY, xff("192.0.2.1,"), "10.0.0.1", id="so does an empty element"),
        pytest.param(PROXY, xff(""), "10.0.0.1", id="and an empty header"),
        pytest.param(PROXY, xff("192.0.2.1", "192.0.2.2"), "10.0.0.1", id="two headers are none"),
        pytest.param(PROXY, xff("192.0.2.1") + forwarded("for=192.0.2.1"), "10.0.0.1", id="two families are none"),
        pytest.param(PROXY, xff("192.0.2.1:8080"), "192.0.2.1", id="a port is dropped"),
        pytest.param(PROXY, xff("192.0.2.1:x"), "10.0.0.1", id="what is no port is not"),
        pytest.param(PROXY, xff("[2001:db8::7]:80"), "2001:db8::7", id="IPv6 with a port"),
        pytest.param(PROXY, xff("2001:DB8:0::7"), "2001:db8::7", id="IPv6 is written in one way"),
        pytest.param(PROXY, xff("::ffff:192.0.2.1"), "192.0.2.1", id="IPv4 within IPv6 is IPv4"),
        pytest.param(PROXY, xff("[192.0.2.1]"), "10.0.0.1", id="brackets are for IPv6"),
        pytest.param(PROXY, xff("[2001:db8::7"), "10.0.0.1", id="brackets are closed"),
        pytest.param(PROXY, xff("unknown"), "10.0.0.1", id="unknown is no address"),
        pytest.param(PROXY, xff("0xc0.0.2.1"), "10.0.0.1", id="nor is another spelling of numbers"),
        pytest.param(PROXY, forwarded("for=192.0.2.1"), "192.0.2.1", id="Forwarded"),
        pytest.param(
            PROXY, forwarded('for="_x, for=192.0.2.9;by=10.0.0.1;proto=https'), "192.0.2.9", id="Forwarded in full"
        ),
        pytest.param(PROXY, forwarded('For="[2001:db8::7]:80"'), "2001:db8::7", id="Forwarded, quoted IPv6"),
        pytest.param(PROXY, forwarded("for=192.0.2.1;for=192.0.2.2"), "10.0.0.1", id="Forwarded with for twice"),
        pytest.param(PROXY, forwarded("proto=https"), "10.0.0.1", id="Forwarded without for"),
        pytest.param(PROXY, forwarded("for=_hidden"), "10.0.0.1", id="Forwarded with a hidden name"),
        pytest.param({"client": ("::ffff:10.0.0.1", 1)}, xff("192.0.2.1"), "192.0.2.1", id="a proxy on a dual socket"),
        pytest.param({"client": ("fe80::1%eth0", 1)}, [], "fe80::1", id="a zone is not part of an address"),
        pytest.param({"client": None}, xff("192.0.2.1"), "unknown", id="a socket without address trusts nobody"),
    ],
)
def test_the_address_is_the_sockets_or_a_trusted_proxys_word(
    scope: dict[str, object], headers: list[tuple[bytes, bytes]], address: str
) -> None:
    assert client_address(scope, headers, PROXIES) == address


@given(st.lists(st.tuples(st.sampled_from([b"x-forwarded-for", b"forwarded", b"cookie"]), st.binary())))
def test_no_header_of_a_stranger_changes_anything(headers: list[tuple[bytes, bytes]]) -> None:
    assert client_address(STRANGER, headers, PROXIES) == "203.0.113.9"


@given(st.binary())
def test_no_header_breaks_it(value: bytes) -> None:
    assert client_address(PROXY, [(b"x-forwarded-for", value)], PROXIES)
    assert client_address(PROXY, [(b"forwarded", value)], PROXIES)
