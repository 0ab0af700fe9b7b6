"""What a refusal means in plain words, and what to do about it, for whoever asks why."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from keyhole.access.decision import Reason
from keyhole.access.subject import Kind
from keyhole.gateway.judge import Judgement

MEANING: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.NO_CREDENTIAL: "no credential is shown there: a visit's cookie counts below /v/<visit>/ only",
        Reason.BAD_CREDENTIAL: "that is no credential of ours, not for this path, or its secret is wrong",
        Reason.CONFLICTING_CREDENTIALS: "more than one credential is shown, and they are not the same",
        Reason.VISIT_ENDED: "the visit is over: it was ended, idled for 30 minutes, or lasted 12 hours",
        Reason.UNKNOWN_ROUTE: "the path is in no table of routes",
        Reason.NOT_CANONICAL: "the path can be read in two ways, or a UID in it is malformed",
        Reason.BAD_QUERY: "the query can be read in two ways, or a value in it is wrong",
        Reason.METHOD_NOT_ALLOWED: "there is no such method at this path",
        Reason.NOT_ACCEPTABLE: "none of the media types asked for can be had",
        Reason.CEILING: "nothing that was granted is about this action, or such a credential may never do it",
        Reason.NO_GRANT: "nothing was granted that covers this",
        Reason.NOT_THERE: "the archive has nothing of this name",
        Reason.ARCHIVE_FAILED: "Orthanc did not say what this name stands for",
        Reason.ARCHIVE_TIMEOUT: "Orthanc did not say in time what this name stands for",
        Reason.FOREIGN_ANSWER: "Orthanc said something else than what this name stands for",
        Reason.EXPIRED: "what was granted has ended",
        Reason.NOT_YET: "what was granted has not begun",
        Reason.WITHDRAWN: "what was granted was withdrawn",
        Reason.WRONG_SECRET: "the link's secret is wrong or of an earlier link, or there is no such share",
    }
)
"""Every reason that a judgement can have, in words."""

_READ_ROUTES = "compare it with docs/reference/routes.md"
_SHARE_ANEW = "share the study: keyhole share STUDY --for 7d"
_ANOTHER_KEY = "make another key: keyhole key create NAME --role ROLE"
_NEXT: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.NO_CREDENTIAL: "send the visit's bearer, or ask below the visit's own path",
        Reason.BAD_CREDENTIAL: "copy it from its first to its last character, or open the link again",
        Reason.CONFLICTING_CREDENTIALS: "send one",
        Reason.VISIT_ENDED: "open the link again",
        Reason.UNKNOWN_ROUTE: _READ_ROUTES,
        Reason.NOT_CANONICAL: _READ_ROUTES,
        Reason.BAD_QUERY: _READ_ROUTES,
        Reason.METHOD_NOT_ALLOWED: _READ_ROUTES,
        Reason.NOT_ACCEPTABLE: _READ_ROUTES,
        Reason.NOT_THERE: "look whether the archive has it",
        Reason.ARCHIVE_FAILED: "look at the archive: keyhole doctor",
        Reason.ARCHIVE_TIMEOUT: "look at the archive: keyhole doctor",
        Reason.FOREIGN_ANSWER: "look at the archive: keyhole doctor",
        Reason.WRONG_SECRET: "copy the link again where it was sent from, or make a new one: keyhole renew SHARE",
    }
)
_OF_LINKS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.CEILING: "a link only lets do what its share allows: share the study in another way",
        Reason.NO_GRANT: _SHARE_ANEW,
        Reason.EXPIRED: "give it more time: keyhole renew {share} --for 7d",
        Reason.NOT_YET: "wait until it begins",
        Reason.WITHDRAWN: _SHARE_ANEW,
    }
)
_OF_KEYS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.CEILING: "make a key whose role and --may hold it: keyhole key create NAME --role ROLE",
        Reason.NO_GRANT: "make a key whose role holds it: keyhole key create NAME --role ROLE",
        Reason.EXPIRED: _ANOTHER_KEY,
        Reason.WITHDRAWN: _ANOTHER_KEY,
    }
)


def next_step(reason: Reason, found: Judgement) -> str | None:
    """What to do about *reason* for whoever was *found*; None when there is nothing."""
    visit = found.holder.visit
    share = found.about.removeprefix("share:") if visit is None else visit.share
    of_whom = _OF_LINKS if found.holder.subject.kind is Kind.VISIT else _OF_KEYS
    words = _NEXT.get(reason) or of_whom.get(reason)
    return None if words is None else words.format(share=share or "SHARE")
