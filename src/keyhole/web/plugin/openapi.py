"""The OpenAPI document of the routes below ``/plugin/``, made of what they read and of what they answer.

A test keeps ``docs/reference/plugin-openapi.json`` equal to it, and another one the routes. Print it again with
``python -m keyhole.web.plugin.openapi > docs/reference/plugin-openapi.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, Literal

import msgspec

from keyhole.gateway.plugin.link_desk import LinkOrder
from keyhole.gateway.plugin.mailing import MailOrder
from keyhole.gateway.plugin.question import Question
from keyhole.gateway.plugin.reader import Unusable
from keyhole.identity.explorer_role import Document
from keyhole.sharing.token import TYPES
from keyhole.web.plugin.links import Shown
from keyhole.web.plugin.profile import Asked
from keyhole.web.plugin.wire import MOUNT

Json = Mapping[str, Any]
_Seconds = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class Granted(msgspec.Struct):
    """Whether, and for how many seconds Orthanc may remember it; 0 is not at all."""

    granted: bool
    validity: _Seconds


class Profile(msgspec.Struct, rename="kebab"):
    """A user, or nobody: then without permissions and labels."""

    name: str
    user_id: str | None
    permissions: list[str]
    authorized_labels: list[str]
    groups: list[str]
    validity: Annotated[int, msgspec.Meta(ge=1, le=10)]


class Named(msgspec.Struct, rename="kebab"):
    """What a token opens, by both of its names."""

    dicom_uid: str
    orthanc_id: str
    url: None
    level: Literal["study", "series"]


class Told(msgspec.Struct, rename="kebab"):
    """What a token is. Without resources Orthanc finds nothing for it."""

    token_type: str | None
    error_code: Unusable | None
    redirect_url: str | None
    resources: list[Named]


class Made(msgspec.Struct):
    """A new link: both are secrets."""

    token: str
    url: str | None


class Sent(msgspec.Struct):
    """Whether a mail left; if not, why, in words for the person who wrote it."""

    success: bool
    details: str | None


class Trouble(msgspec.Struct):
    """What went wrong."""

    title: str
    status: int
    detail: str


_PARTS: tuple[type, ...] = (
    Question,
    Asked,
    Shown,
    LinkOrder,
    MailOrder,
    Document,
    Granted,
    Profile,
    Told,
    Made,
    Sent,
    Trouble,
)
_SCHEMAS, _COMPONENTS = msgspec.json.schema_components(_PARTS, ref_template="#/components/schemas/{name}")
_SCHEMA = dict(zip(_PARTS, _SCHEMAS, strict=True))
_TYPE = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": sorted(TYPES)}}
_TEMPLATE = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_HTML = {"text/html": {"schema": {"type": "string"}}}
_SOMEBODY = {"anyOf": [_SCHEMA[Profile], {"type": "null"}]}
"""Null is nobody, when somebody is looked for by id."""

_NAMES = {"type": "array", "items": {"type": "string"}}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _operation(
    summary: str, answers: Json, taken: type | None = None, parameter: Json | None = None, failed: Json | None = None
) -> Json:
    """One route's: what it takes and answers. ``failed``: a 400 that has a form of its own."""
    trouble = {"description": "What went wrong", "content": _json(_SCHEMA[Trouble])}
    responses: dict[str, Any] = {"200": {"description": "The answer", "content": answers}}
    if failed is not None:
        responses["400"] = {"description": "Why not", "content": failed}
    said: dict[str, Any] = {"summary": summary, "responses": responses | {"4XX": trouble, "5XX": trouble}}
    if taken is not None:
        said["requestBody"] = {"required": True, "content": _json(_SCHEMA[taken])}
    if parameter is not None:
        said["parameters"] = [parameter]
    return said


def document() -> Json:
    """The document."""
    sent = _json(_SCHEMA[Sent])
    paths: dict[str, Json] = {
        "tokens/validate": {"post": _operation("May this token do that?", _json(_SCHEMA[Granted]), Question)},
        "tokens/decode": {"post": _operation("What is this token?", _json(_SCHEMA[Told]), Shown)},
        "tokens/{name}": {"put": _operation("Make a link", _json(_SCHEMA[Made]), LinkOrder, _TYPE)},
        "user/get-profile": {"post": _operation("Who is this?", _json(_SOMEBODY), Asked)},
        "settings/roles": {
            "get": _operation("What may roles do?", _json(_SCHEMA[Document])),
            "put": _operation("Change what roles may do", _json({"type": "null"}), Document),
        },
        "emails/templates": {"get": _operation("Which templates are there?", _json(_NAMES))},
        "emails/templates/{name}": {"get": _operation("What is in a template?", _HTML, None, _TEMPLATE)},
        "emails/send": {"post": _operation("Send a mail with a link in it", sent, MailOrder, None, sent)},
    }
    about = "What Orthanc's Authorization plugin and Orthanc Explorer 2 ask, on the internal listener."
    return {
        "openapi": "3.1.0",
        "info": {"title": "Keyhole, as Orthanc asks it", "summary": about, "version": version("keyhole")},
        "paths": {f"{MOUNT.decode()}{path}": methods for path, methods in paths.items()},
        "components": {
            "schemas": _COMPONENTS,
            "securitySchemes": {"caller": {"type": "http", "scheme": "basic"}},
        },
        "security": [{"caller": []}],
    }


def printed() -> str:
    """The document as its file holds it."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(printed())
