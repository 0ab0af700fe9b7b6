"""The reference page of the HTTP API, printed from its OpenAPI document.

A test keeps ``docs/reference/http-api.md`` and ``docs/reference/openapi.json`` equal to the code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from keyhole.web.api import openapi

_HEAD = """# HTTP API

Printed from the OpenAPI document, which the staff listener serves at `/api/v1/openapi.json` (a copy is
[here](openapi.json)).

- **Who may ask**: whoever shows an API key, `Authorization: Bearer khk_…` (`keyhole key create`). What it may do
  follows from its roles, and is at most what its ceiling allows. Cookies are not looked at.
- **Times** are RFC 3339 with a zone, such as `2026-03-01T12:00:00Z`. Durations are `7d`, `12h` or `30m`.
- **Unknown fields**, null, and unclear values are refused. A body has at most 64 kB.
- **What goes wrong** is `application/problem+json` (RFC 9457), with `reason` for programs: one of the
  [reasons](reasons.md), or `invalid` (not of the form given here; `errors` names the fields), `refused` (it cannot be
  done), `not-found` (or not yours to know of), `too-large`, `internal`.
- **Nothing is kept by a cache.** Answers with a link or an address hold a secret: keep them out of logs.
"""

_TAIL = """## Internal listener

For servers, `127.0.0.1:8001` by default.

| path | answers | who may ask |
|---|---|---|
| `/healthz` | 200 while the process lives | everybody |
| `/readyz` | 200 when the database confirms and every archive answers, else 503; `parts` names what fails | everybody |
| `/metrics` | figures in Prometheus' text format | whoever shows `KEYHOLE_METRICS_TOKEN` as a bearer |

Without a token there are no figures (404). No label holds an id of a study, a share, a visit or a key.
"""

Json = Mapping[str, Any]


def document() -> str:
    """The OpenAPI document as its file holds it."""
    return json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n"


def page() -> str:
    """The whole page, as Markdown."""
    described = openapi()
    schemas = described["components"]["schemas"]
    operations = [
        line
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        for line in _operation(method.upper(), path, operation)
    ]
    values = [line for name, schema in schemas.items() for line in _value(name, schema)]
    return "\n".join((_HEAD, *operations, "## Values", "", *values, _TAIL))


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"## {operation['summary']}"
    yield ""
    yield f"`{method} {path}`: {operation['description']}"
    yield ""
    asked = [(one["name"], one["required"], one["schema"] | one) for one in operation.get("parameters", ())]
    if asked:
        yield from _table(asked)
        yield ""
    if "requestBody" in operation:
        yield f"Takes {_kind(operation['requestBody']['content']['application/json']['schema'])}."
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            content = answer.get("content", {}).get("application/json")
            yield f"Answers {status}" + ("." if content is None else f" with {_kind(content['schema'])}.")
    yield ""


def _value(name: str, schema: Json) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    if schema.get("description"):
        yield schema["description"]
        yield ""
    if "enum" in schema:
        yield " ".join(f"`{word}`" for word in schema["enum"])
    else:
        needed = schema.get("required", ()) if "additionalProperties" in schema else ()
        yield from _table([(name, name in needed, field) for name, field in schema["properties"].items()])
    yield ""


def _table(fields: Iterable[tuple[str, bool, Json]]) -> Iterator[str]:
    yield "| field | what | |"
    yield "|---|---|---|"
    for name, required, schema in fields:
        about = " ".join(filter(None, ("**needed**" if required else "", schema.get("description", ""))))
        yield f"| `{name}` | {_kind(schema)} | {about} |"


def _kind(schema: Json) -> str:
    """What a value is, in a few words. Parameters of a query cannot be null, whatever their schema says."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        kinds = [_kind(one) for one in schema["anyOf"] if "in" not in schema or one != {"type": "null"}]
        return " or ".join(kinds)
    if "enum" in schema:
        return " ".join(f"`{word}`" for word in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("format") or schema.get("type", "value"))
