"""The chain of the trail (design rule 6). Pure: what is signed, and how.

A row's digest is ``HMAC-SHA256(key, prev ‖ seq ‖ body)``: ``prev`` is the 32-byte digest of the row before (zeros
before the first), ``seq`` eight bytes, most significant first, and counts from 1 without gaps. The key is named by
the row and kept outside the database.

``body`` is the canonical encoding of a record: the JSON array (no white space, UTF-8, text escaped as RFC 8259
requires and no more) ::

    [1, at, event, subject, archive, study, series, action, reason, share, visit,
     images, bytes, times, detail, personal]

The leading 1 is the version of the encoding; ``at`` is in microseconds since 1970 UTC; what is absent is null;
``detail`` is a list of pairs [name, value] and ``personal`` one of pairs [name, commitment in hex], both sorted by
name. A commitment is ``HMAC-SHA256(salt, name ‖ 0 ‖ value)``. Salt and value are kept beside the chain: once they are
erased, the commitment tells nothing about the value, and the chain still holds.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.resource import Action

ENCODING = 1
GENESIS = bytes(32)
KEY_BYTES = 32
SALT_BYTES = 16

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Signing:
    """The keys that rows are signed with, by id; ``current`` signs new rows.

    A key must stay as long as rows that it signed are to be verified.
    """

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a ring without its current key, or a key that is too short."""
        if self.current not in self.keys:
            raise ValueError("the current signing key is missing")
        if any(len(key) < KEY_BYTES for key in self.keys.values()):
            raise ValueError(f"a signing key has at least {KEY_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain: the last row's number and digest."""

    seq: int = 0
    digest: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Personal:
    """A value about a person, with the salt that its commitment was made with."""

    name: str
    salt: bytes
    value: bytes

    @property
    def commitment(self) -> str:
        """What the body holds instead of the value."""
        return hmac.digest(self.salt, self.name.encode() + b"\0" + self.value, "sha256").hex()


@dataclass(frozen=True, slots=True)
class Draft:
    """A record in its canonical form, not yet in the chain."""

    record: Record
    body: bytes
    personal: tuple[Personal, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A record in the chain."""

    seq: int
    key_id: str
    digest: bytes
    draft: Draft

    @property
    def head(self) -> Head:
        """The end of the chain when this is its last row."""
        return Head(self.seq, self.digest)


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC; TypeError for a time without a zone."""
    return (at - _EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """The time that :func:`micros` counted."""
    return _EPOCH + at * _MICROSECOND


def plain(text: str) -> str:
    """*text* with what UTF-8 or a database cannot hold (lone surrogates, NUL) escaped with a backslash."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def draft(record: Record, salt: Callable[[], bytes]) -> Draft:
    """*record* as it will be kept; every personal value gets a salt of its own."""
    record = _plain(record)
    personal = tuple(Personal(name, salt(), value.encode()) for name, value in sorted(record.personal.items()))
    return Draft(record, _encode(record, personal), personal)


def _plain(record: Record) -> Record:
    texts = ("subject", "archive", "study", "series", "share", "visit")
    values: dict[str, Any] = {
        name: plain(text) for name in texts if (text := getattr(record, name)) is not None and text != plain(text)
    }
    for name in ("detail", "personal"):
        values[name] = {plain(key): plain(value) for key, value in getattr(record, name).items()}
    return replace(record, **values)


def _encode(record: Record, personal: tuple[Personal, ...]) -> bytes:
    return msgspec.json.encode(
        [
            ENCODING,
            micros(record.at),
            record.event,
            record.subject,
            record.archive,
            record.study,
            record.series,
            record.action,
            record.reason,
            record.share,
            record.visit,
            record.images,
            record.bytes,
            record.times,
            sorted(record.detail.items()),
            [(value.name, value.commitment) for value in personal],
        ]
    )


def decode(body: bytes) -> tuple[Record, dict[str, str]]:
    """The record in *body*, without its personal values, and their commitments by name."""
    version, at, event, subject, archive, study, series, action, reason, share, visit, *rest = msgspec.json.decode(body)
    if version != ENCODING:
        raise ValueError("a trail row in an encoding that this version does not know")
    images, size, times, detail, commitments = rest
    record = Record(
        at=moment(at),
        event=Event(event),
        subject=subject,
        archive=archive,
        study=study,
        series=series,
        action=None if action is None else Action(action),
        reason=None if reason is None else Reason(reason),
        share=share,
        visit=visit,
        images=images,
        bytes=size,
        times=times,
        detail=dict(detail),
    )
    return record, dict(commitments)


def outline(body: bytes) -> tuple[dict[str, object], dict[str, str]]:
    """What a table repeats of *body* for searching, and the commitments; also of a newer version's events."""
    _, at, event, subject, _, study, _, _, _, share, visit, *_, commitments = msgspec.json.decode(body)
    searched = {"at": at, "event": event, "subject": subject, "study": study, "share": share, "visit": visit}
    return searched, dict(commitments)


def digest(key: bytes, prev: bytes, seq: int, body: bytes) -> bytes:
    """The digest of row *seq* after the row with digest *prev*."""
    return hmac.digest(key, prev + seq.to_bytes(8, "big") + body, "sha256")


def extend(head: Head, drafts: list[Draft], signing: Signing) -> Iterator[Row]:
    """The rows that put *drafts*, in their order, after *head*."""
    key = signing.keys[signing.current]
    seq, prev = head.seq, head.digest
    for entry in drafts:
        seq += 1
        prev = digest(key, prev, seq, entry.body)
        yield Row(seq, signing.current, prev, entry)
