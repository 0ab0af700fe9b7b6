"""What the settings open to whom: http, host names, proxies, credentials on the way."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from keyhole.operations.doctor.finding import Finding, note, ok, warning
from keyhole.settings import Settings
from keyhole.settings.values import IPNetwork, host_of, is_loopback

_WIDEST = {4: 16, 6: 48}
"""The shortest prefix of a network in which there may be nothing but one's own proxies."""
_READABLE = "whoever is on the way reads links, cookies and images, and can use them"
_HTTPS = "serve it with https (docs/how-to/https.md)"
_TWO_LABELS = 2
_COUNTRY = 2
_SHORT = 3


def plain_http(settings: Settings) -> Iterator[Finding]:
    """Links and images over http to other machines."""
    urls = {"KEYHOLE_PUBLIC_URL": settings.public_url, "KEYHOLE_STAFF_URL": settings.staff_url}
    open_ = [name for name, url in urls.items() if url and url.startswith("http:") and not is_loopback(host_of(url))]
    for name in open_:
        yield warning("http-public", f"{name} is http, for other machines", _READABLE, _HTTPS)
    if settings.insecure_http:
        yield warning(
            "insecure-http",
            "KEYHOLE_INSECURE_HTTP is on",
            "listeners for other machines are no longer refused without https",
            "turn it off; if something does not start then, it says what it needs",
        )
    if not open_ and not settings.insecure_http:
        yield ok("http-public", "nothing is served to other machines without https")


def hosts(settings: Settings) -> Iterator[Finding]:
    """Staff and public on one site: the settings refuse one host, and cookies can be set for a whole domain."""
    if settings.staff_url is None:
        yield ok("one-site", "staff have no listener here")
        return
    public, staff = host_of(settings.public_url), host_of(settings.staff_url)
    if not related(public, staff):
        yield ok("one-site", "staff and recipients use different sites")
        return
    yield note(
        "one-site",
        "staff and recipients use host names of one domain",
        "browsers treat them as one site: SameSite does not keep them apart, and another host of that domain can set "
        "cookies for both. Keyhole's own cookies are bound to one host",
        "a domain of its own for recipients keeps them wholly apart",
    )


def related(one: str, other: str) -> bool:
    """Whether two host names share what is, as far as can be told without the list of public suffixes, a domain."""
    if is_address(one) or is_address(other):
        return one == other
    return _domain(one) == _domain(other) is not None


def is_address(host: str) -> bool:
    """Whether *host* is an IP address."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _domain(host: str) -> str | None:
    """The last two labels, or three where the second last is a short one of a country (``co.uk``)."""
    labels = host.split(".")
    if len(labels) < _TWO_LABELS:
        return None
    country = len(labels[-1]) == _COUNTRY and len(labels[-2]) <= _SHORT
    return ".".join(labels[-3:] if country else labels[-2:])


def proxies(settings: Settings) -> Iterator[Finding]:
    """Networks of proxies so large that clients may be in them."""
    wide = [network for network in settings.trusted_proxies if _is_wide(network)]
    for network in wide:
        yield warning(
            "proxies-wide",
            f"KEYHOLE_TRUSTED_PROXIES holds {network}",
            "whoever sends from there chooses the address that is on the trail",
            "name the addresses of your proxies alone",
        )
    if not wide:
        yield ok("proxies-wide", "only single proxies, or none, are believed about addresses")


def _is_wide(network: IPNetwork) -> bool:
    return network.prefixlen < _WIDEST[network.version]


def credentials_in_the_clear(settings: Settings) -> Iterator[Finding]:
    """Keyhole's credentials for archives, and images, over http to another host."""
    for name, archive in settings.every_archive().items():
        for root in dict.fromkeys(filter(None, (archive.root if archive.folder is None else None, archive.orthanc))):
            if not root.startswith("http:") or is_loopback(urlsplit(root).hostname or ""):
                continue
            what = "its credentials and all images" if archive.user or archive.headers else "all images"
            yield warning(
                "archive-http",
                f"archive {name} is asked over http on another host",
                f"{what} can be read on the way",
                "give the archive https, or let nothing but Keyhole into that network",
            )
