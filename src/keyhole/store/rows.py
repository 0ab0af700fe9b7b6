"""Values to rows of the tables, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any

import msgspec

from keyhole.access.condition import Conditions
from keyhole.access.mail import Mail, MailCode, MailKind
from keyhole.access.resource import Action, Level, Resource
from keyhole.access.share import ApiKey, Deidentification, Origin, PatientName, Priors, Share, ShareKind, Visit
from keyhole.store.chain import micros, moment, plain
from keyhole.store.sql import Row


def at(time: datetime | None) -> int | None:
    """A time as it is kept."""
    return None if time is None else micros(time)


def time(kept: int | None) -> datetime | None:
    """A kept time."""
    return None if kept is None else moment(kept)


def text(words: str | None) -> str | None:
    """Free text as it is kept."""
    return None if words is None else plain(words)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _resources(resources: Iterable[Resource]) -> str:
    return _json([(resource.archive, resource.level, resource.path) for resource in resources])


def _to_resources(kept: str) -> tuple[Resource, ...]:
    return tuple(Resource(archive, Level(level), tuple(path)) for archive, level, path in msgspec.json.decode(kept))


def share_values(share: Share) -> dict[str, Any]:
    """The columns of a share."""
    return {
        "id": share.id,
        "archive": share.archive,
        "resources": _resources(share.resources),
        "kind": share.kind.value,
        "creator": share.creator,
        "created_at": micros(share.created_at),
        "expires_at": micros(share.expires_at),
        "key_id": share.key_id,
        "generation": share.generation,
        "not_before": at(share.not_before),
        "max_visits": share.max_visits,
        "visits": share.visits,
        "first_opened_at": at(share.first_opened_at),
        "last_opened_at": at(share.last_opened_at),
        "withdrawn_at": at(share.withdrawn_at),
        "recipient": text(share.recipient),
        "note": text(share.note),
        "deidentification": share.deidentification.value,
        "origin": share.origin.value,
        "token_type": share.token_type,
        "bearer": share.bearer,
        "orthanc_ids": _json(share.orthanc_ids),
        **condition_values(share.conditions),
        "attempts": share.attempts,
        "passed": share.passed,
        "tried_at": at(share.tried_at),
        "locked_at": at(share.locked_at),
        "mail_to": text(share.mail_to),
        "notify": text(share.notify),
        "language": share.language,
        "paper": share.paper,
        "priors": share.priors.value,
        "patient_id": None if share.patient is None else text(share.patient.id),
        "patient_issuer": None if share.patient is None else text(share.patient.issuer),
    }


def condition_values(conditions: Conditions) -> dict[str, Any]:
    """The columns of what a share asks for."""
    return {
        "passcode": conditions.passcode,
        "birth_date": conditions.birth_date,
        "mail_code": conditions.mail_code,
        "terms": conditions.terms,
    }


def to_share(row: Row) -> Share:
    """The share in a whole row of its table."""
    kept = dict(zip(_SHARE, row, strict=True))
    kept["resources"] = _to_resources(kept["resources"])
    kept["kind"] = ShareKind(kept["kind"])
    kept["deidentification"] = Deidentification(kept["deidentification"])
    kept["origin"] = Origin(kept["origin"])
    kept["bearer"] = bool(kept["bearer"])  # SQLite has no truth values
    kept["orthanc_ids"] = tuple(msgspec.json.decode(kept["orthanc_ids"]))
    kept["conditions"] = _to_conditions(*(kept.pop(name) for name in WITHIN["conditions"]))
    kept["priors"] = Priors(kept["priors"])
    kept["patient"] = _to_patient(*(kept.pop(name) for name in WITHIN["patient"]))
    return Share(**_with_times(kept))


def _to_conditions(passcode: str | None, birth_date: bytes | None, mail_code: object, terms: object) -> Conditions:
    return Conditions(passcode=passcode, birth_date=birth_date, mail_code=bool(mail_code), terms=bool(terms))


def _to_patient(patient_id: str | None, issuer: str | None) -> PatientName | None:
    return None if patient_id is None else PatientName(patient_id, issuer or "")


def visit_values(visit: Visit) -> dict[str, Any]:
    """The columns of a visit."""
    return {
        "id": visit.id,
        "digest": visit.digest,
        "subject": visit.subject,
        "archive": visit.archive,
        "created_at": micros(visit.created_at),
        "ends_at": micros(visit.ends_at),
        "share": visit.share,
        "resources": _resources(visit.resources),
        "limited": visit.limited,
        "begun_at": at(visit.begun_at),
        "seen_at": at(visit.seen_at),
        "ended_at": at(visit.ended_at),
    }


def to_visit(row: Row) -> Visit:
    """The visit in a whole row of its table."""
    kept = dict(zip(_VISIT, row, strict=True))
    kept["resources"] = _to_resources(kept["resources"])
    kept["limited"] = bool(kept["limited"])  # SQLite has no truth values
    return Visit(**_with_times(kept))


def key_values(key: ApiKey) -> dict[str, Any]:
    """The columns of an API key."""
    return {
        "id": key.id,
        "name": plain(key.name),
        "digest": key.digest,
        "roles": _json(sorted(key.roles)),
        "ceiling": _json(sorted(key.ceiling)),
        "creator": key.creator,
        "created_at": micros(key.created_at),
        "expires_at": at(key.expires_at),
        "revoked_at": at(key.revoked_at),
    }


def to_key(row: Row) -> ApiKey:
    """The API key in a whole row of its table."""
    kept = dict(zip(_KEY, row, strict=True))
    kept["roles"] = frozenset(msgspec.json.decode(kept["roles"]))
    kept["ceiling"] = frozenset(map(Action, msgspec.json.decode(kept["ceiling"])))
    return ApiKey(**_with_times(kept))


def mail_values(mail: Mail) -> dict[str, Any]:
    """The columns of a mail."""
    return {
        "id": mail.id,
        "share": mail.share,
        "generation": mail.generation,
        "kind": mail.kind.value,
        "to": plain(mail.to),
        "created_at": micros(mail.created_at),
        "due_at": micros(mail.due_at),
        "give_up_at": micros(mail.give_up_at),
        "language": mail.language,
        "nonce": mail.nonce,
        "tries": mail.tries,
        "sent_at": at(mail.sent_at),
        "failed_at": at(mail.failed_at),
        "problem": text(mail.problem),
    }


def to_mail(row: Row) -> Mail:
    """The mail in a whole row of its table."""
    kept = dict(zip(_MAIL, row, strict=True))
    kept["kind"] = MailKind(kept["kind"])
    return Mail(**_with_times(kept))


def code_values(code: MailCode) -> dict[str, Any]:
    """The columns of a mailed code."""
    return {
        "share": code.share,
        "generation": code.generation,
        "nonce": code.nonce,
        "ticket": code.ticket,
        "created_at": micros(code.created_at),
        "ends_at": micros(code.ends_at),
    }


def to_code(row: Row) -> MailCode:
    """The mailed code in a whole row of its table."""
    return MailCode(**_with_times(dict(zip(_CODE, row, strict=True))))


WITHIN = {
    "conditions": tuple(field.name for field in fields(Conditions)),
    "patient": ("patient_id", "patient_issuer"),
}
"""The columns of fields that are values themselves."""


def columns_of(value: type) -> tuple[str, ...]:
    """The columns are the values' fields, in the tables' order: a test compares them."""
    return tuple(name for field in fields(value) for name in WITHIN.get(field.name, (field.name,)))


_SHARE, _VISIT, _KEY, _MAIL, _CODE = map(columns_of, (Share, Visit, ApiKey, Mail, MailCode))


def _with_times(kept: dict[str, Any]) -> dict[str, Any]:
    return {name: time(value) if name.endswith(("_at", "not_before")) else value for name, value in kept.items()}
