"""What a setting's text may say. Every ValueError here completes the sentence that begins with the setting's name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.policy import EmailPolicy
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo

from keyhole.errors import Refused
from keyhole.gateway.policy import Required
from keyhole.gateway.post.address import address
from keyhole.identity.role import ROLES
from keyhole.sharing.token import TYPES, Opens

T = TypeVar("T")
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_DURATION = re.compile(r"([0-9]{1,6})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_UNQUOTED = re.compile(r"\A([^\"\\<>@]*[^\"\\<>@ ]) *(<[^<>]+>)\Z")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_HOST = re.compile(r"[0-9a-z](?:[0-9a-z.-]*[0-9a-z])?")
_A_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""What makes browsers read a host name as an IPv4 address (WHATWG URL, "ends in a number"): 127.1 is 127.0.0.1."""
_PORT = re.compile(r"[0-9]{1,5}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65535
_SHORTEST_TOKEN = 16
SHORTEST_PASSWORD = 8
"""What Orthanc's own examples have (``change-me``) is let through, and told by ``keyhole doctor``."""


class Conflict(ValueError):
    """A setting that is right by itself and wrong beside the others; *about* names it when it is another one."""

    def __init__(self, problem: str, about: str | None = None) -> None:
        """*problem* completes the sentence that begins with the setting's name."""
        super().__init__(problem)
        self.about = about


def together(other: str) -> Callable[[T, ValidationInfo], T]:
    """A validator: the setting and *other* are needed together. What *other* lacks itself is told of it."""

    def both(value: T, info: ValidationInfo) -> T:
        if other in info.data and (value is None) is not (info.data[other] is None):
            raise Conflict(f"and KEYHOLE_{other.upper()} are needed together")
        return value

    return both


def parse_duration(text: str) -> timedelta:
    """The time that ``7d``, ``12h`` or ``30m`` names; ValueError for anything else, and for no time at all."""
    match = _DURATION.fullmatch(text)
    if match is None or not int(match[1]):
        raise ValueError("is not a duration such as 7d, 12h or 30m")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine alone. Of names, only ``localhost`` is taken to be."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Bind:
    """Where a listener listens. Port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that ``host:port`` or ``[IPv6]:port`` names; ValueError otherwise."""
        host, _, port = text.rpartition(":")
        number = int(port) if _PORT.fullmatch(port) else _HIGHEST_PORT + 1
        bracketed = host.startswith("[") and host.endswith("]")
        if not host or number > _HIGHEST_PORT or bracketed is not (":" in host):
            raise ValueError('is neither "host:port" nor "off"')
        return cls(host.strip("[]"), number)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def wildcard(self) -> bool:
        """Whether it stands for every address of this machine, and so for no URL."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

    def __str__(self) -> str:
        """The address as a URL writes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def bind(value: object) -> Bind | None:
    """A listener's address; None is off."""
    if value is None or isinstance(value, Bind):
        return value
    return None if value == "off" else Bind.parse(str(value))


def _http_url(text: str) -> tuple[str, str, str]:
    """Scheme, authority and path of a URL, in the one spelling that browsers use in an Origin header."""
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host = f"[{ipaddress.IPv6Address(host)}]" if ":" in host else host
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise ValueError("is not a URL")
    if not host.startswith("[") and not _HOST.fullmatch(host):
        raise ValueError("has a host name that is not made of ASCII letters, digits, dots and hyphens")
    if _A_NUMBER.fullmatch(host.rpartition(".")[2]) and not _is_ipv4(host):
        raise ValueError("has an address that browsers spell in another way: write it as four decimal numbers")
    if parts.username is not None:
        raise ValueError("has a user name in it, which belongs into a setting of its own")
    if re.search(r"[\s\\?#]", text):
        raise ValueError("is more than the root of a server: leave out what follows ? or #")
    authority = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    return parts.scheme, authority, parts.path.rstrip("/")


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def server_root(text: str) -> str:
    """An http(s) URL without query, without a slash at its end."""
    return "{}://{}{}".format(*_http_url(text))


def origin(text: str) -> str:
    """An http(s) URL without path: what browsers send as Origin."""
    scheme, authority, path = _http_url(text)
    if path:
        raise ValueError("has a path: Keyhole needs a host name of its own")
    return f"{scheme}://{authority}"


def issuer(text: str) -> str:
    """An issuer's URL as it is (OpenID Connect Discovery 1.0 section 2): it is compared letter by letter."""
    _http_url(text)
    return text


def host_of(url: str) -> str:
    """The host name of a URL that :func:`origin` returned."""
    return urlsplit(url).hostname or ""


def text_of(value: object) -> object:
    """A path as its text; anything else is left to its type."""
    return str(value) if isinstance(value, Path) else value


def archive_root(text: str) -> str:
    """The URL of a DICOMweb server's root, or the absolute path of a folder that is there."""
    if re.match(r"(?i)https?:", text):
        return server_root(text)
    if "://" in text:
        raise ValueError("is neither an http(s) URL nor a folder")
    path = Path(text).expanduser().absolute()
    if not path.is_dir():
        raise ValueError("is not a folder")
    return str(path)


def archive_name(text: str) -> str:
    """A name fit for paths, tables and the trail."""
    if not _NAME.fullmatch(text):
        raise ValueError("is not a name of at most 32 lower-case letters, digits and hyphens")
    return text


def absolute(path: Path) -> Path:
    """The path from the root on, with ``~`` for the home folder."""
    return path.expanduser().absolute()


def folder(path: Path) -> Path:
    """A folder, or nothing yet."""
    if absolute(path).exists() and not absolute(path).is_dir():
        raise ValueError("is not a folder")
    return absolute(path)


def terms(path: Path) -> Path:
    """A folder with the terms in English at least, each language in a file of its own."""
    if not (absolute(path) / "en.txt").is_file():
        raise ValueError("is not a folder with a file en.txt")
    for text in absolute(path).glob("*.txt"):
        try:
            empty = not text.read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            raise ValueError(f"has a file {text.name} that cannot be read as UTF-8") from None
        if empty:
            raise ValueError(f"has a file {text.name} without a word in it")
    return absolute(path)


def existing_file(path: Path) -> Path:
    """A file that is there."""
    if not absolute(path).is_file():
        raise ValueError("is not a file")
    return absolute(path)


def header_lines(value: object) -> object:
    """Headers as the environment and files spell them, a ``Name: value`` to a line, as a mapping."""
    return headers_of(value) if isinstance(value, str) else value


def headers_of(text: str) -> dict[str, str]:
    """The headers in *text*, a ``Name: value`` to a line; nothing about them is checked yet."""
    lines = [line.partition(":") for line in text.splitlines() if line.strip()]
    return {name.strip(): value.strip() for name, _, value in lines}


def headers(fields: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    """Headers that can be sent as they are (RFC 9110 section 5)."""
    for name, value in fields.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value.get_secret_value()):
            raise ValueError('is not made of lines such as "X-Api-Key: secret"')
    return fields


def postgresql(secret: SecretStr) -> SecretStr:
    """The URL of a PostgreSQL database."""
    if not secret.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("does not start with postgresql://")
    return secret


def token(secret: SecretStr) -> SecretStr:
    """A secret too long to be guessed."""
    if len(secret.get_secret_value()) < _SHORTEST_TOKEN:
        raise ValueError(f"is shorter than {_SHORTEST_TOKEN} characters")
    return secret


def password(secret: SecretStr) -> SecretStr:
    """A password that another server has been given."""
    if len(secret.get_secret_value()) < SHORTEST_PASSWORD:
        raise ValueError(f"is shorter than {SHORTEST_PASSWORD} characters")
    return secret


def networks(value: object) -> tuple[IPNetwork, ...]:
    """Addresses and networks, separated by commas when they are one text."""
    if not isinstance(value, str | list | tuple):
        raise ValueError("is not a list of IP networks")  # noqa: TRY004 - pydantic collects ValueErrors
    parts = value.split(",") if isinstance(value, str) else value
    found = tuple(_network(str(part).strip()) for part in parts if str(part).strip())
    if any(network.prefixlen == 0 for network in found):
        raise ValueError("trusts everybody: list the addresses of your proxies")
    return found


def _network(text: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"is not a list of IP networks ({error})") from None


def pairs(value: object) -> object:
    """``NAME=VALUE`` separated by commas, as a mapping; anything else is left to its type."""
    if not isinstance(value, str):
        return value
    parts = [part.partition("=") for part in value.split(",") if part.strip()]
    return {name.strip(): text.strip() for name, _, text in parts}


def mailbox(text: str) -> str:
    """One mailbox, with a name or without (RFC 5322 section 3.4); its domain in ASCII, as it stands in headers.

    A name that the RFC wants in quotes may do without them here: `Radiology, Example Hospital <…>`.
    """
    for written in (text, _UNQUOTED.sub(r'"\1" \2', text)):
        if _is_mailbox(written):
            return written
    raise ValueError("is not an address such as Radiology <radiology@clinic.example>")


def _is_mailbox(text: str) -> bool:
    if re.search(r"[\x00-\x1f\x7f]|=\?", text):
        return False
    header = EmailPolicy().header_factory("From", text)
    if header.defects or len(header.addresses) != 1 or header.groups[0].display_name is not None:
        return False
    spec = header.addresses[0].addr_spec
    try:
        return bool(spec.isascii() and address(spec))
    except Refused:
        return False


def mail_address(text: str) -> str:
    """One address, without a name."""
    try:
        return address(text)
    except Refused:
        raise ValueError("is not an address such as radiology@clinic.example") from None


def required(value: object) -> object:
    """Conditions that links must have from their text; anything else is left to its type."""
    return Required.parse(value) if isinstance(value, str) else value


def of_roles(roles: Mapping[str, T]) -> Mapping[str, T]:
    """Something for each of some roles that there are."""
    for name in roles:
        if name not in ROLES:
            raise ValueError(f"names {name!r}, which is no role: there are {', '.join(ROLES)}")
    return roles


def aware(time: datetime) -> datetime:
    """A moment; without a time zone it is UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def names(value: object) -> object:
    """Names separated by commas; anything else is left to its type."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def token_types(types: Mapping[str, Opens]) -> Mapping[str, Opens]:
    """What types of links open, of those types that there are."""
    for name, opens in types.items():
        if name not in TYPES:
            raise ValueError(f"names {name!r}, which is no type of link: there are {', '.join(TYPES)}")
        if TYPES[name].instant and opens is Opens.LANDING:
            raise ValueError(f"sends {name} to a page, but instant links have none: direct or off")
    return types


def duration(value: object) -> object:
    """A duration from its text; anything else is left to its type."""
    return parse_duration(value) if isinstance(value, str) else value
