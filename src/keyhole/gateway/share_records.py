"""What the trail keeps of shares that are made and changed. Pure.

Nothing about a person is in the chain: recipients, addresses, notes and patients stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action, Resource
from keyhole.access.share import Priors, Share, ShareChange, ShareKind
from keyhole.access.subject import Subject
from keyhole.gateway.client import Client


def made(share: Share, subject: Subject, client: Client) -> Record:
    """That *share* was made."""
    detail = {
        "resources": " ".join(map(str, share.resources)),
        "expires_at": share.expires_at.isoformat(),
        "max_visits": str(share.max_visits or "unlimited"),
        **({} if share.kind is ShareKind.VIEW else {"allows": share.kind.value}),
        **({} if share.priors is Priors.NONE else {"priors": share.priors.value}),
        **({"conditions": " ".join(share.conditions.names)} if share.conditions else {}),
        **({"paper": "yes"} if share.paper else {}),
    }
    patient = {} if share.patient is None else {"patient": share.patient.id}
    personal = client.personal() | _about_persons(share) | patient
    return about(Event.SHARE_CREATED, share, subject, share.created_at, detail, personal)


def changed(share: Share, change: ShareChange, subject: Subject, client: Client, now: datetime) -> Record:
    """That *change* is made to *share*."""
    personal = client.personal() | _about_persons(change)
    return about(Event.SHARE_CHANGED, share, subject, now, _changes(change), personal)


def withdrawn(share: Share, subject: Subject, client: Client, now: datetime) -> Record:
    """That *share* is withdrawn."""
    return about(Event.SHARE_WITHDRAWN, share, subject, now, {}, client.personal())


def link_shown(share: Share, subject: Subject, client: Client, now: datetime) -> Record:
    """That the link of *share* was shown again."""
    detail = made(share, subject, client).detail
    return about(Event.LINK_SHOWN, share, subject, now, detail, client.personal())


def about(
    event: Event,
    share: Share,
    subject: Subject,
    now: datetime,
    detail: Mapping[str, str],
    personal: Mapping[str, str],
) -> Record:
    """What *subject* did with *share*."""
    return Record(
        at=now,
        event=event,
        subject=subject.name,
        archive=share.archive,
        study=only_study(share.resources),
        action=Action.SHARE,
        share=share.id,
        detail=detail,
        personal=personal,
    )


def only_study(resources: Sequence[Resource]) -> str | None:
    """The study that a record is about, when it is about one; its detail names all."""
    studies = {resource.study for resource in resources}
    return studies.pop() if len(studies) == 1 else None


def _changes(change: ShareChange) -> dict[str, str]:
    said = {
        "expires_at": change.expires_at and change.expires_at.isoformat(),
        "not_before": change.not_before and change.not_before.isoformat(),
        "more_visits": str(change.more_visits) if change.more_visits else None,
        "new_link": "yes" if change.new_link_key else None,
        "conditions": " ".join(change.conditions.names) if change.conditions else None,
        "paper": "yes" if change.paper else None,
    }
    return {name: text for name, text in said.items() if text}


def _about_persons(said: Share | ShareChange) -> dict[str, str]:
    words = {"recipient": said.recipient, "note": said.note, "mail_to": said.mail_to, "notify": said.notify}
    return {name: text for name, text in words.items() if text is not None}
