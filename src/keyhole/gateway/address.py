"""Where a request comes from: the socket's word, or that of a configured proxy, and nothing else (design section 7)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNKNOWN = "unknown"
_HOPS = 20
_FORWARDED_FOR = re.compile(r'(?:^|;)[ \t]*for=(?:"([^"\\]*)"|([^";, \t]*))[ \t]*(?=;|$)', re.IGNORECASE)
_PORT = re.compile(r":[0-9]{1,5}")


def client_address(
    scope: Mapping[str, Any], headers: Iterable[tuple[bytes, bytes]], trusted_proxies: Sequence[IPNetwork]
) -> str:
    """The address of whoever asks.

    That is the socket's, unless a trusted proxy holds the other end: then the rightmost address in ``X-Forwarded-For``
    or ``Forwarded`` (RFC 7239 §4) that is no trusted proxy's. What stands further left is the client's own word and
    not looked at. Both headers at once, one of them twice, or something that is no address on the way there: the
    socket's. IPv4 within IPv6 is IPv4. ``unknown`` when the socket has no address.
    """
    peer = _peer(str(scope["client"][0])) if scope.get("client") else None
    if peer is None:
        return _UNKNOWN
    nearest = peer
    for hop in _hops_backwards(headers) if _trusted(peer, trusted_proxies) else ():
        if hop is None:
            return str(peer)
        nearest = hop
        if not _trusted(hop, trusted_proxies):
            break
    return str(nearest)


def _trusted(address: IPAddress, proxies: Sequence[IPNetwork]) -> bool:
    return any(address in network for network in proxies)


def _address(text: str) -> IPAddress | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4096)
def _peer(text: str) -> IPAddress | None:
    """The address of a socket's other end. Only these are remembered: nobody can choose what they say."""
    return _address(text)


def _hops_backwards(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[IPAddress | None]:
    """What the one forwarding header there is names, the nearest first; None is something that is no address."""
    found = [(name, value.decode("latin-1")) for name, value in headers if name in {b"x-forwarded-for", b"forwarded"}]
    if len(found) != 1:
        return
    name, value = found[0]
    for element in reversed(value.rsplit(",", _HOPS)):
        yield _node(element.strip(" \t") if name == b"x-forwarded-for" else _forwarded_for(element))


def _forwarded_for(element: str) -> str:
    """The one ``for`` of an element of ``Forwarded``; empty when there is none, or more."""
    found = [quoted or plain for quoted, plain in _FORWARDED_FOR.findall(element)]
    return found[0] if len(found) == 1 else ""


def _node(text: str) -> IPAddress | None:
    """The address of ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        return _address(host) if bracket and ":" in host and (not port or _PORT.fullmatch(port)) else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return _address(host) if _PORT.fullmatch(f":{port}") else None
    return _address(text)
