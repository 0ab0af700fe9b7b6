"""QR codes and letters in the staff API."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from keyhole.access.decision import Event
from tests.gateway.letter.reading import Page, drawn, scanned
from tests.web.staff.asking import SHARES, UNKNOWN, WEEK, shared
from tests.web.staff.client import Client
from tests.web.staff.world import World

PIN: Mapping[str, Any] = {"passcode": "plum-Otter-17", "paper": True}


async def test_a_qr_code_is_a_picture_of_the_link(sharer: Client) -> None:
    share = await shared(sharer)
    png = await sharer.ask("GET", f"{SHARES}/{share['id']}/qr")
    assert (png.status, png.headers["content-type"]) == (200, "image/png")
    assert scanned(Image.open(BytesIO(png.body)).convert("L")).text == share["link"]
    svg = await sharer.ask("GET", f"{SHARES}/{share['id']}/qr?format=svg")
    assert (svg.status, svg.headers["content-type"]) == (200, "image/svg+xml")
    assert scanned(drawn(svg.body)).text == share["link"]


async def test_a_letter_is_a_pdf_of_the_size_and_in_the_language_asked_for(sharer: Client) -> None:
    share = await shared(sharer, **PIN)
    letter = await sharer.ask("GET", f"{SHARES}/{share['id']}/letter?paper=letter&language=de")
    assert (letter.status, letter.headers["content-type"]) == (200, "application/pdf")
    page = Page(letter.body)
    assert page.size == (612, 792)
    assert "Medizinische Bilder für Sie" in page.text
    assert "plum" not in page.text
    assert scanned(page.picture()).text == share["link"]


@pytest.mark.parametrize("what", ["qr", "letter"])
async def test_no_cache_keeps_them_and_no_page_runs_them(sharer: Client, what: str) -> None:
    share = await shared(sharer, **PIN)
    answer = await sharer.ask("GET", f"{SHARES}/{share['id']}/{what}")
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("what", ["qr", "letter"])
async def test_both_are_on_the_trail(sharer: Client, world: World, what: str) -> None:
    share = await shared(sharer, **PIN)
    await sharer.ask("GET", f"{SHARES}/{share['id']}/{what}")
    record = world.rows.trail[-1].record
    assert (record.event, record.share, record.detail["form"]) == (Event.LINK_SHOWN, share["id"], what)


@pytest.mark.parametrize("what", ["qr", "letter"])
async def test_whoever_may_not_share_gets_neither(sharer: Client, reader: Client, stranger: Client, what: str) -> None:
    share = await shared(sharer, **PIN)
    assert (await reader.ask("GET", f"{SHARES}/{share['id']}/{what}")).status == 404
    assert (await stranger.ask("GET", f"{SHARES}/{share['id']}/{what}")).status == 401
    assert (await sharer.ask("GET", f"{SHARES}/{UNKNOWN}/{what}")).status == 404


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("qr?format=gif", 422),
        ("qr?size=9", 422),
        ("letter?paper=a5", 422),
        ("letter?language=tlh", 422),
        ("letter?language=de%0d%0a", 422),
    ],
)
async def test_what_is_not_made_here_is_refused(sharer: Client, query: str, status: int) -> None:
    share = await shared(sharer, **PIN)
    answer = await sharer.ask("GET", f"{SHARES}/{share['id']}/{query}")
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_without_a_code_there_is_no_letter(sharer: Client) -> None:
    share = await shared(sharer)
    answer = await sharer.ask("GET", f"{SHARES}/{share['id']}/letter")
    assert (answer.status, answer.json["detail"]) == (422, "this share has no code for paper")


@pytest.mark.parametrize("asked", [{}, {"mail_code": True, "mail_to": "m@example.org"}])
async def test_a_code_for_paper_needs_a_birth_date_or_a_passcode(sharer: Client, asked: dict[str, Any]) -> None:
    answer = await sharer.ask("POST", SHARES, WEEK | asked | {"paper": True})
    assert answer.status == 422
    assert "paper" in answer.json["detail"]
