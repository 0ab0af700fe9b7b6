from __future__ import annotations

import gzip
import re
from collections.abc import Callable

import brotli
import pytest

from keyhole.web.viewer import accepted_codings
from tests.asgi import Caller
from tests.web.conftest import CONTENTS

BIG = "/app.bundle.0123456789abcdef.js"


@pytest.mark.parametrize("name", [name for name in CONTENTS if name != "index.html"])
@pytest.mark.parametrize(
    ("coding", "decode"), [("br", brotli.decompress), ("gzip", gzip.decompress), ("identity", bytes)]
)
async def test_a_file_is_served_in_the_form_that_was_asked_for(
    caller: Caller, name: str, coding: str, decode: Callable[[bytes], bytes]
) -> None:
    content, kind = CONTENTS[name]
    for _ in range(2):  # from disk, then from memory
        answer = await caller.get(f"/{name}", {"accept-encoding": coding})
        compressed = answer.header("content-encoding")
        assert compressed == (coding if coding != "identity" and len(content) > 512 else None)
        assert (decode(answer.body) if compressed else answer.body) == content
        assert answer.header("content-type") == kind
        assert answer.header("content-length") == str(len(answer.body))
        assert (answer.header("vary") == "Accept-Encoding") is (len(content) > 512)


@pytest.mark.parametrize(
    ("path", "caching"),
    [
        (BIG, "public, max-age=31536000, immutable"),
        ("/0123456789abcdef.wasm", "public, max-age=31536000, immutable"),
        ("/app.bundle.css", "no-cache"),
        ("/app-config.js", "no-cache"),
        ("/init-service-worker.js", "no-cache"),
    ],
)
async def test_files_with_a_hash_in_their_name_are_kept_for_ever(caller: Caller, path: str, caching: str) -> None:
    answer = await caller.get(path)
    assert answer.header("cache-control") == caching
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("set-cookie") is None


@pytest.mark.parametrize("path", [BIG, "/app.bundle.css", "/app-config.js"])
@pytest.mark.parametrize("coding", ["br", "gzip", "identity"])
async def test_what_the_browser_has_is_not_sent_again(caller: Caller, path: str, coding: str) -> None:
    first = await caller.get(path, {"accept-encoding": coding})
    tag = first.header("etag")
    for named in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await caller.get(path, {"accept-encoding": coding, "if-none-match": named})
        assert (again.status, again.body, again.header("etag")) == (304, b"", tag)
        assert again.header("cache-control") == first.header("cache-control")
    assert (await caller.get(path, {"accept-encoding": coding, "if-none-match": '"x"'})).status == 200


async def test_each_form_has_its_own_tag(caller: Caller) -> None:
    codings = ("br", "gzip", "identity")
    assert len({(await caller.get(BIG, {"accept-encoding": coding})).header("etag") for coding in codings}) == 3


async def test_head_answers_as_get_without_a_body(caller: Caller) -> None:
    headers = {"accept-encoding": "identity"}
    got, headed = await caller.get(BIG, headers), await caller.head(BIG, headers)
    assert (headed.status, headed.headers, headed.body) == (200, got.headers, b"")


async def test_the_service_worker_script_is_empty(caller: Caller) -> None:
    assert (await caller.get("/init-service-worker.js")).body == b""


async def test_the_configuration_is_one_constant_text_without_a_way_to_write(caller: Caller) -> None:
    answer = await caller.get("/app-config.js")
    assert answer.header("content-type") == "text/javascript; charset=utf-8"
    for line in (
        "showStudyList: false",
        "supportsStow: false",
        "dicomUploadEnabled: false",
        "loadMultiframeAsPart10: false",
        "rightPanels: { $set: [] }",
        "supportsReject: false",
    ):
        assert line in answer.text
    assert not re.search(r"https?://", answer.text)


@pytest.mark.parametrize(
    ("header", "codings"),
    [
        (b"", set()),
        (b"gzip, deflate, br, zstd", {"br", "gzip"}),
        (b"GZIP", {"gzip"}),
        (b"br;q=0, gzip;q=0.5", {"gzip"}),
        (b"*", {"br", "gzip"}),
        (b"*;q=0", set()),
        (b"br; q=0.000, *", {"gzip"}),
        (b"identity", set()),
        (b";;,,q=1", set()),
    ],
)
def test_accept_encoding_is_read_as_the_standard_says(header: bytes, codings: set[str]) -> None:
    assert accepted_codings(header) == codings
