"""Pages in the reader's language: asked for, chosen, and the same bytes for everybody who reads it."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from keyhole.language import LANGUAGES, Language
from keyhole.web.pages import PublicPages
from keyhole.web.public import public_app
from keyhole.web.site import Site
from keyhole.web.viewer import ViewerFiles
from keyhole.web.words import WORDS, problem, said
from tests.asgi import Caller
from tests.web.conftest import Dicomweb, NoCodes
from tests.web.openings import NOW, Memory

V = "/v/" + "a" * 16
PAGES = ["/s/aaaaaaaaaaaaaaaa", "/s", "/o", f"{V}/", f"{V}/expired", "/nothing"]


def lang(page: str) -> str:
    return re.findall(r'<html lang="([^"]+)">', page)[0]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("tag", LANGUAGES)
async def test_a_page_is_in_the_language_that_is_asked_for(caller: Caller, path: str, tag: str) -> None:
    answer = await caller.get(path, {"accept-language": f"{tag}-XX, nl;q=0.5"})
    assert lang(answer.text) == tag
    assert "Accept-Language" in answer.header("vary")
    english = (await caller.get(path)).text
    assert (answer.text == english) is (tag == "en")


async def test_the_landing_page_is_the_same_bytes_for_every_share_in_each_language(
    caller: Caller, memory: Memory
) -> None:
    share, _ = memory.share(language="de")
    for tag in LANGUAGES:
        answers = [
            await caller.get(f"/s/{name}", {"accept-language": tag}) for name in (share.id, "a" * 16, "nonsense")
        ]
        assert len({(answer.status, answer.headers, answer.body) for answer in answers}) == 1


async def test_the_landing_page_is_compressed_for_whom_takes_it(caller: Caller) -> None:
    plain = await caller.get("/s")
    packed = await caller.get("/s", {"accept-encoding": "gzip"})
    assert (plain.header("content-encoding"), packed.header("content-encoding")) == (None, "gzip")
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    assert packed.header("vary") == "Accept-Language, Cookie, Accept-Encoding"


@pytest.mark.parametrize("tag", LANGUAGES)
async def test_a_choice_is_kept_in_a_cookie_that_tells_nothing_else(caller: Caller, memory: Memory, tag: str) -> None:
    answer = await caller.post_json("/language", {"language": tag})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("set-cookie") == f"keyhole_language={tag}; HttpOnly; Max-Age=15552000; Path=/; SameSite=lax"
    chosen = await caller.get("/s", {"cookie": f"keyhole_language={tag}", "accept-language": "fr"})
    assert lang(chosen.text) == tag
    assert memory.calls == []


@pytest.mark.parametrize(
    "cookie", ["keyhole_language=it", "keyhole_language=", "keyhole_language=de; keyhole_language=../x"]
)
async def test_a_choice_that_is_none_is_left_aside(caller: Caller, cookie: str) -> None:
    page = await caller.get("/s", {"cookie": cookie, "accept-language": "es"})
    assert lang(page.text) == "es"


@pytest.mark.parametrize(
    ("page", "leads"),
    [
        (f"{V}/", f"{V}/"),
        ("/c", "/c"),
        ("", "/s"),
        ("//elsewhere.example/", "/s"),
        ("https://elsewhere.example/", "/s"),
        (f"{V}/end", "/s"),
        (f"{V}/\n", "/s"),
        ("/s/aaaaaaaaaaaaaaaa", "/s"),
    ],
)
async def test_a_form_is_led_back_to_a_page_of_ours_and_nowhere_else(caller: Caller, page: str, leads: str) -> None:
    body = f"language=de&page={page}".replace("\n", "%0A")
    answer = await caller.post_form("/language", body)
    assert (answer.status, answer.header("location")) == (303, leads)


@pytest.mark.parametrize(
    ("sent", "headers", "status"),
    [
        ({"language": "it"}, {}, 400),
        ({}, {}, 400),
        ({"language": ["de"]}, {}, 400),
        ({"language": "de"}, {"sec-fetch-site": "cross-site"}, 403),
        ({"language": "de"}, {"origin": "https://elsewhere.example"}, 403),
    ],
)
async def test_nothing_else_is_kept_and_nobody_else_chooses(
    caller: Caller, sent: object, headers: dict[str, str], status: int
) -> None:
    answer = await caller.post_json("/language", sent, headers)
    assert (answer.status, answer.header("set-cookie")) == (status, None)


async def test_get_chooses_nothing(caller: Caller) -> None:
    answer = await caller.get("/language")
    assert (answer.status, answer.header("allow"), answer.header("set-cookie")) == (405, "POST", None)


async def test_who_asks_for_none_of_ours_reads_the_sites(
    memory: Memory, viewer_folder: Path, dicomweb: Dicomweb
) -> None:
    pages = PublicPages("http://127.0.0.1:8000", site=Site(language=Language("es")))
    caller = Caller(public_app(memory, NoCodes(), ViewerFiles(viewer_folder), dicomweb, pages, lambda: NOW))
    assert [lang((await caller.get("/s", {"accept-language": asked})).text) for asked in ("nl", "", "en")] == [
        "es",
        "es",
        "en",
    ]


@pytest.mark.parametrize("reason", WORDS)
@pytest.mark.parametrize("tag", [tag for tag in LANGUAGES if tag != "en"])
def test_every_word_is_said_in_every_language(reason: str, tag: str) -> None:
    english, told = WORDS[reason], said(reason, Language(tag))
    assert told.status == english.status
    assert told.title != english.title
    assert told.text != english.text


def test_a_program_reads_the_reason_in_one_word_whatever_the_language() -> None:
    german = problem("locked", Language("de"), tries_left=0)
    assert b'"reason":"locked"' in german.body
    assert b'"tries_left":0' in german.body
    assert "gesperrt" in bytes(german.body).decode()


async def test_a_problem_is_in_the_language_of_who_asks(caller: Caller) -> None:
    answer = await caller.post_json("/s/aaaaaaaaaaaaaaaa", {"secret": "x"}, {"accept-language": "fr"})
    assert (answer.json()["reason"], answer.json()["title"]) == ("mistyped", "Ce lien est incomplet")
    assert answer.header("vary") == "Accept-Language, Cookie"


async def test_the_menu_names_every_language_in_itself_and_marks_the_present_one(caller: Caller) -> None:
    page = (await caller.get("/s", {"accept-language": "de"})).text
    assert re.findall(
        r'<button name="language" value="(\w+)" lang="\1"( aria-current="true")?>(\S+)</button>', page
    ) == [
        ("en", "", "English"),
        ("fr", "", "Français"),
        ("de", ' aria-current="true"', "Deutsch"),
        ("es", "", "Español"),
    ]
