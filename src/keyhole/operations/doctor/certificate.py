"""The certificate that Keyhole itself shows: for which names, until when. Found by showing it to ourselves."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keyhole.operations.doctor.finding import Finding, error, ok, warning

SOON_DAYS = 21
"""From when on the end of a certificate is near: renewing by ACME begins at 30."""

_DAY = 86_400
_MOST_STEPS = 20
_EXPIRED, _NOT_YET, _OTHER_NAME = 10, 9, (62, 64)
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED, _CERT_NOT_YET_VALID, _HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How a client finds a certificate. ``code`` is OpenSSL's word on it, 0 for good; ``ends_at`` if it was good."""

    code: int
    ends_at: float | None = None
    unusable: bool = False


def look(certificate: Path, key: Path, host: str) -> Shown:
    """Show the *certificate* to a client that wants *host*, which trusts it and nothing else."""
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate, key, password="")
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(certificate)
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        found = _handshake(server, client, host)
    except ssl.SSLCertVerificationError as problem:
        return Shown(problem.verify_code)
    except (OSError, ValueError):
        return Shown(0, unusable=True)
    return Shown(0, ssl.cert_time_to_seconds(str(found["notAfter"])))


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> dict[str, object]:
    """What the client knows of the certificate, in memory alone."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(back, there, server_side=False, server_hostname=host)
    other = server.wrap_bio(there, back, server_side=True)
    for _ in range(_MOST_STEPS):
        if _done(one):
            return dict(one.getpeercert() or {})
        _done(other)
    raise ValueError("no end")


def _done(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def certificate(shown: Shown, host: str, now: float) -> Iterator[Finding]:
    """Whether browsers take the certificate for *host*, at *now* and for some time."""
    replace = "put a new one in KEYHOLE_TLS_CERT, and restart"
    if shown.unusable:
        yield error("certificate", "the certificate and its key cannot be used", "Keyhole does not start", replace)
    elif shown.code == _EXPIRED:
        yield error("certificate", "the certificate has expired", "browsers warn whoever opens a link", replace)
    elif shown.code == _NOT_YET:
        yield error("certificate", "the certificate is not valid yet", "browsers warn whoever opens a link", replace)
    elif shown.code in _OTHER_NAME:
        yield error(
            "certificate-name",
            f"the certificate is for other names than {host}",
            "browsers warn whoever opens a link",
            "have one made for the host name of KEYHOLE_PUBLIC_URL (and of KEYHOLE_STAFF_URL)",
        )
    elif shown.code or shown.ends_at is None:
        yield warning(
            "certificate", f"the certificate was found wrong (OpenSSL {shown.code})", "browsers may warn", replace
        )
    else:
        days = int((shown.ends_at - now) // _DAY)
        told = f"the certificate is for {host}, and ends in {days} days"
        if days < SOON_DAYS:
            yield warning("certificate", told, "after that browsers warn whoever opens a link", replace)
        else:
            yield ok("certificate", told)
