"""Addresses of mail, checked once: what passes names one mailbox and can be put into any header."""

from __future__ import annotations

import re

import idna

from keyhole.errors import Refused

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"(?=.{{1,64}}$){_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_LONGEST = 254
"""RFC 5321 section 4.5.3.1.3: a path of 256, its brackets included."""


def address(text: str, domains: frozenset[str] = frozenset()) -> str:
    """The address that *text* is (RFC 5322 section 3.4.1, a dot-atom at a domain), without a name.

    The domain is written in lower-case ASCII (RFC 5890). Refused for anything else, for quoted local parts and
    literal domains too, and for an address outside *domains*, when there are any.
    """
    local, _, domain = text.strip(" ").rpartition("@")
    ascii_domain = _ascii(domain)
    checked = f"{local}@{ascii_domain}"
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(ascii_domain) or len(checked) > _LONGEST:
        raise Refused(
            "that is not a mail address", "give one address and nothing else, for example name@clinic.example"
        )
    if domains and ascii_domain not in {_ascii(allowed) for allowed in domains}:
        raise Refused(f"mail may go to {', '.join(sorted(domains))} only", "KEYHOLE_MAIL_DOMAINS sets where it may go")
    return checked


def _ascii(domain: str) -> str:
    """*domain* as mail servers look it up; empty when it is none."""
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return ""
