"""The mail endpoints on the wire: templates by name, and a word to the sender whatever becomes of a mail."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.templates import Templates
from keyhole.web.plugin import emails
from keyhole.web.plugin.credentials import Credential, Credentials
from keyhole.web.plugin.wire import Plugin
from tests import asgi

PASSWORD = "a-password-of-some-length"
BASIC = {"authorization": "Basic " + base64.b64encode(f"orthanc:{PASSWORD}".encode()).decode()}


@pytest.fixture
def service(tmp_path: Path) -> asgi.Caller:
    """The endpoints with two templates, and without a mail server."""
    (tmp_path / "letter.html").write_text("<p>{ShareUrl}</p>")
    (tmp_path / "empty.html").write_text("")
    credentials = Credentials([Credential.of(Caller(name="orthanc", archive="main"), "orthanc", PASSWORD)])
    routes = emails.routes(Templates(tmp_path), None)
    return asgi.Caller(Plugin(routes, credentials, lambda _: None, lambda: datetime(2026, 3, 1, tzinfo=UTC)))


async def test_templates_are_listed_and_given_out_as_html(service: asgi.Caller) -> None:
    assert (await service.get("/plugin/emails/templates", BASIC)).json() == ["empty", "letter"]
    answer = await service.get("/plugin/emails/templates/letter", BASIC)
    assert (answer.status, answer.header("content-type"), answer.text) == (
        200,
        "text/html; charset=utf-8",
        "<p>{ShareUrl}</p>",
    )


@pytest.mark.parametrize("name", ["nothing", "..%2fletter", "letter.html", "../letter"])
async def test_what_is_no_template_is_404(service: asgi.Caller, name: str) -> None:
    assert (await service.get(f"/plugin/emails/templates/{name}", BASIC)).status == 404


async def test_no_answer_is_empty(service: asgi.Caller) -> None:
    assert (await service.get("/plugin/emails/templates/empty", BASIC)).body


async def test_without_a_mail_server_the_sender_is_told_what_to_do_instead(service: asgi.Caller) -> None:
    answer = await service.post_json("/plugin/emails/send", {"destination-email": "a@b.example"}, BASIC)
    assert answer.status == 400
    assert answer.json() == {"success": False, "details": "mail is not set up here: copy the link instead"}


async def test_nobody_sends_mail_without_credentials(service: asgi.Caller) -> None:
    assert (await service.post_json("/plugin/emails/send", {})).status == 401
