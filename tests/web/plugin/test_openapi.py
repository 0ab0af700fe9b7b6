"""The plugin's routes keep their OpenAPI document: whatever is sent, the answer is one that the document describes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks

from keyhole.web.plugin import openapi
from keyhole.web.plugin.wire import MOUNT
from tests.gateway.gate import OK, SECOND
from tests.web.plugin.service import TRUSTED, Service, basic

FILE = Path(__file__).parents[3] / "docs" / "reference" / "plugin-openapi.json"

service = Service(callers=[TRUSTED])
token = service.token(
    asyncio.run(
        service.gate.share(
            (OK,),
            (SECOND,),
            token_type="viewer-instant-link",
            bearer=True,
            expires_at=service.gate.now + timedelta(days=3650),
        )
    )
)
service.gate.ledger.refuse = lambda _: None  # type: ignore[method-assign] - thousands of them are not to be kept


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The web service, as a client that encodes its paths reaches it."""
    if scope["type"] == "http":
        await service.app({**scope, "raw_path": scope.get("raw_path", scope["path"].encode())}, receive, send)


schema = schemathesis.openapi.from_dict(dict(openapi.document()))
schema.app = app
load_all_checks()
# A wrong body is answered as well, with no, with nobody, or with unknown: the plugin takes all else for a failure.
# A right one may still be refused: a study that is not there, an end that has passed, a mail without a link.
NOT_PROMISED: Any = [CHECKS.get_one(name) for name in ("positive_data_acceptance", "negative_data_rejection")]


@schema.auth()
class Orthanc:
    def get(self, case: schemathesis.Case[Any], context: schemathesis.AuthContext) -> str:
        return basic()["authorization"]

    def set(self, case: schemathesis.Case[Any], data: str, context: schemathesis.AuthContext) -> None:
        case.headers["authorization"] = data


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
def test_every_answer_is_in_the_document(case: schemathesis.Case[Any]) -> None:
    service.gate.after(timedelta(minutes=1))  # so that wrong credentials are told so each time
    if isinstance(case.body, dict) and "token-value" in case.body and case.body["token-value"] != "":
        case.body["token-value"] = token
    response = case.call_and_validate(excluded_checks=NOT_PROMISED)
    assert response.status_code < 500
    kind = response.headers["content-type"][0]
    assert kind == "application/json" or (kind.startswith("text/html") and "templates" in case.path)
    if kind == "application/json":
        json.loads(response.content)


def test_the_document_has_every_route_and_no_other() -> None:
    described = {(method.upper(), path) for path, methods in openapi.document()["paths"].items() for method in methods}
    mounted = {(method, path.decode()) for path, methods in service.app._routes.items() for method in methods}
    assert described == mounted
    assert all(path.startswith(MOUNT.decode()) for _, path in described)


def test_the_copy_of_the_document_is_current() -> None:
    hint = "print it again: python -m keyhole.web.plugin.openapi > docs/reference/plugin-openapi.json"
    assert FILE.read_text(encoding="utf-8") == openapi.printed(), hint


def test_the_document_can_be_printed() -> None:
    done = subprocess.run([sys.executable, "-m", "keyhole.web.plugin.openapi"], capture_output=True, check=True)
    assert done.stdout.decode() == openapi.printed()
