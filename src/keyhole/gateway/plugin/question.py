"""What the plugin asks before every image: may this token do METHOD on this resource? Understood here; pure.

Facts: the web service, sections 3 and 10. Nothing is decided here but which resource is meant, by both of its names.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from keyhole.access.decision import Ask, Reason
from keyhole.access.resource import Action, Level, Resource
from keyhole.access.share import Share

_LEVELS: Mapping[str, Level] = MappingProxyType(
    {"patient": Level.PATIENT, "study": Level.STUDY, "series": Level.SERIES, "instance": Level.INSTANCE}
)
_METHODS: Mapping[str, Action] = MappingProxyType(
    {"get": Action.RETRIEVE, "put": Action.MODIFY, "delete": Action.DELETE}
)


class Question(msgspec.Struct, rename="kebab", frozen=True):
    """The body of ``tokens/validate``; any field may be missing or null. ``labels`` is there for labelled studies."""

    method: str | None = None
    level: str | None = None
    orthanc_id: str | None = None
    dicom_uid: str | None = None
    token_value: str | None = None
    server_id: str | None = None
    labels: Any = None


def understand(question: Question, share: Share, *, posts: bool) -> Ask | Reason:
    """What *question* asks of whoever holds the token of *share*; *posts*: its viewer reads through DICOMweb.

    What *share* names nothing of, at that level and by all names given, is not there for whoever holds its token.
    """
    action = _action(question, posts=posts)
    if action is None:
        return Reason.METHOD_NOT_ALLOWED
    level = _LEVELS.get(question.level or "")
    if level is None:
        return Reason.UNKNOWN_ROUTE
    resource = _resource(level, question.dicom_uid or "", question.orthanc_id or "", share)
    return Reason.NO_GRANT if resource is None else Ask(action, resource)


def _action(question: Question, *, posts: bool) -> Action | None:
    """What *question*'s method does to the resource; None for one that nobody knows.

    ``post`` is how Orthanc's DICOMweb plugin looks for what it is about to read, and that question never has labels; a
    post of anybody's own to a labelled study has.
    """
    if question.method == "post":
        return Action.SEARCH if posts and not question.labels else Action.MODIFY
    return _METHODS.get(question.method or "")


def _resource(level: Level, uid: str, name: str, share: Share) -> Resource | None:
    """The resource of *share* that *uid* and Orthanc's *name* agree on, of which one at least has to be there."""
    names = share.orthanc_ids
    for resource, known in zip(share.resources, names or ("",) * len(share.resources), strict=True):
        # Where this one's name is not known, one that is another's disagrees as well.
        agrees = not name or name == known or not (known or name in names)
        if resource.level is level and agrees and (resource.path[-1] == uid if uid else name and known):
            return resource
    return None
