from __future__ import annotations

import re
from importlib import resources
from typing import Any, NoReturn

import pytest

from tests.asgi import Caller
from tests.web.conftest import Dicomweb
from tests.web.openings import CODE, Memory

V = "/v/" + "a" * 16
PAGES = ["/s/aaaaaaaaaaaaaaaa", "/s", "/o", f"{V}/", f"{V}/expired", "/nothing", "/%2e%2e/", "/s//x", "/robots.txt"]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize("public_url", ["http://127.0.0.1:8000", "https://images.example.org"], indirect=True)
@pytest.mark.parametrize("path", PAGES)
async def test_every_page_carries_every_header(caller: Caller, public_url: str, path: str) -> None:
    answer = await caller.get(path)
    https = public_url.startswith("https")
    assert answer.header("content-security-policy") == POLICY
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("x-robots-tag") == "noindex, nofollow, noarchive"
    assert answer.header("cross-origin-resource-policy") == "same-origin"
    assert answer.header("cross-origin-opener-policy") == ("same-origin" if https else None)
    assert answer.header("strict-transport-security") == ("max-age=63072000" if https else None)
    if path != "/robots.txt":
        assert "camera=()" in answer.header("permissions-policy")
        assert answer.header("cache-control") == "no-store"


@pytest.mark.parametrize("path", ["/s/aaaaaaaaaaaaaaaa", "/o", f"{V}/", f"{V}/expired"])
async def test_pages_hold_no_inline_script_or_style_and_nothing_of_others(caller: Caller, path: str) -> None:
    page = (await caller.get(path)).text
    assert not re.search(r"<script(?![^>]* src=\"/static/)|<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page)


@pytest.mark.parametrize("language", ["en", "fr", "de", "es"])
@pytest.mark.parametrize("path", ["/s/aaaaaaaaaaaaaaaa", "/o", f"{V}/"])
async def test_a_page_with_all_it_loads_is_far_under_30_kb(caller: Caller, path: str, language: str) -> None:
    """The whole way, with what is said beside the bodies, is measured in tests/e2e/test_recipient_access.py."""
    takes = {"accept-encoding": "gzip", "accept-language": language}
    page = await caller.get(path, {"accept-language": language})
    wanted = set(re.findall(r"(?:src|href)=\"(/static/[^\"]+)\"", page.text))
    loaded: set[str] = set()
    while wanted:
        name = wanted.pop()
        loaded.add(name)
        text = (await caller.get(name)).text
        wanted |= {f"/static/{each}" for each in re.findall(r"from \"\./([^\"]+)\"", text)} - loaded
    assert "/static/page.js" in loaded or path == f"{V}/"
    assert sum([len((await caller.get(each, takes)).body) for each in (path, *loaded)]) < 20_000


@pytest.mark.parametrize(
    "path",
    [
        "/dicom-web",
        "/dicom-web/studies",
        "/dicom-web%2f..%2fs",
        f"{V}/dicom-web/studies/1.2.3",
        f"{V}/dicom-web/../../s",
        "/v/x/dicom-web",
        "/v//dicom-web/studies",
    ],
)
async def test_dicomweb_goes_to_the_gateway_as_it_was_received(caller: Caller, dicomweb: Dicomweb, path: str) -> None:
    answer = await caller.get(f"{path}?a=b")
    assert answer.body == b"gateway"
    assert dicomweb.paths == [path.encode()]
    assert len(answer.headers) == 0


@pytest.mark.parametrize(
    "path",
    [
        "/s/%61aaaaaaaaaaaaaaa",
        "/./s/aaaaaaaaaaaaaaaa",
        "/s/../s/aaaaaaaaaaaaaaaa",
        "//s/aaaaaaaaaaaaaaaa",
        "/s//aaaaaaaaaaaaaaaa",
        "/s/aaaaaaaaaaaaaaaa;x",
        "/s\\aaaaaaaaaaaaaaaa",
        "/static/..",
        "/static/../words.py",
        "/static/%2e%2e/words.py",
        "/static/words.py",
        "/assets/../index.html",
        "/index.html",
        "/installed.json",
        "/app.bundle.css.br",
        "/assets",
        "/assets/",
        "/v/",
        "/v",
        f"{V}/local",
        f"{V}/viewer/",
        f"{V}/viewer/x",
        f"{V}/app-config.js",
        "/S",
        "*",
        "",
    ],
)
async def test_what_is_not_exactly_ours_is_not_found(caller: Caller, memory: Memory, path: str) -> None:
    answer = await caller.get(path)
    assert answer.status == 404
    assert "There is nothing here" in answer.text
    assert memory.calls == []


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/s/aaaaaaaaaaaaaaaa", "GET, HEAD, POST"),
        ("OPTIONS", "/o", "GET, HEAD, POST"),
        ("GET", "/s/aaaaaaaaaaaaaaaa/visits", "POST"),
        ("DELETE", f"{V}/", "GET, HEAD"),
        ("POST", "/static/keyhole.css", "GET, HEAD"),
        ("POST", "/app-config.js", "GET, HEAD"),
    ],
)
async def test_other_methods_are_told_which_there_are(caller: Caller, method: str, path: str, allow: str) -> None:
    answer = await caller.call(method, path)
    assert (answer.status, answer.header("allow")) == (405, allow)


async def test_the_root_leads_to_where_a_link_can_be_pasted_and_to_where_a_code_is_typed(caller: Caller) -> None:
    answer = await caller.get("/")
    assert answer.status == 200
    assert 'href="/s"' in answer.text
    assert 'href="/c"' in answer.text


async def test_robots_are_told_to_keep_out(caller: Caller) -> None:
    answer = await caller.get("/robots.txt")
    assert answer.text.splitlines() == [
        "User-agent: *",
        "Disallow: /s/",
        "Disallow: /v/",
        "Disallow: /o",
        "Disallow: /c",
    ]


async def test_static_files_are_served_by_name_and_validated(caller: Caller) -> None:
    names = [entry.name for entry in resources.files("keyhole.web").joinpath("static").iterdir()]
    for name in names:
        answer = await caller.get(f"/static/{name}")
        assert answer.status == 200, name
        assert answer.header("cache-control") == "no-cache"
        again = await caller.get(f"/static/{name}", {"if-none-match": answer.header("etag")})
        assert (again.status, again.body) == (304, b"")
    assert (await caller.get("/favicon.ico")).header("content-type") == "image/svg+xml"


async def test_a_websocket_is_closed(caller: Caller) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await caller.app({"type": "websocket", "raw_path": b"/s", "path": "/s"}, None, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_a_client_that_leaves_in_the_middle_is_no_error(caller: Caller) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> NoReturn:
        raise AssertionError(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/o",
        "raw_path": b"/o",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": None,
    }
    await caller.app(scope, receive, send)


async def test_a_client_without_an_address_is_served(caller: Caller, memory: Memory) -> None:
    answer = await type(caller)(caller.app, client=None).post_json("/o", {"code": CODE})
    assert answer.status == 201
    assert memory.clients[0].address == "unknown"


@pytest.mark.parametrize("path", ["/app-config.js", "/init-service-worker.js", "/static/landing.js", f"{V}/viewer"])
@pytest.mark.parametrize("header", [{"service-worker": "script"}, {"sec-fetch-dest": "serviceworker"}])
async def test_no_script_is_given_out_as_a_service_worker(caller: Caller, path: str, header: dict[str, str]) -> None:
    answer = await caller.get(path, header)
    assert answer.status == 404
    assert answer.header("content-type") == "text/html; charset=utf-8"


async def test_the_same_scripts_are_given_out_to_pages(caller: Caller) -> None:
    for path in ("/app-config.js", "/init-service-worker.js", "/static/landing.js"):
        assert (await caller.get(path, {"sec-fetch-dest": "script"})).status == 200
