from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import brotli
import pytest

from keyhole.web.install_viewer import FILES, SHA512, VERSION, File, Manifest
from keyhole.web.pages import PublicPages
from keyhole.web.public import public_app
from keyhole.web.viewer import ViewerFiles
from tests.asgi import Caller
from tests.web.openings import NOW, Memory, NoCodes

CONTENTS = {
    "index.html": (b"<!doctype html><script>1</script>" + b" " * 600, "text/html; charset=utf-8"),
    "app.bundle.0123456789abcdef.js": (b"var app = 1;" * 60_000, "text/javascript; charset=utf-8"),
    "app.bundle.css": (b"a { b: c }" * 100, "text/css; charset=utf-8"),
    "0123456789abcdef.wasm": (b"\0asm" + b"\1" * 600, "application/wasm"),
    "assets/favicon.ico": (b"icon", "image/x-icon"),
}


@pytest.fixture
def viewer_folder(tmp_path: Path) -> Path:
    files = {}
    for name, (content, kind) in CONTENTS.items():
        path = tmp_path / FILES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        small = len(content) < 512
        br, gz = (b"", b"") if small else (brotli.compress(content), gzip.compress(content, mtime=0))
        if not small:
            path.with_name(path.name + ".br").write_bytes(br)
            path.with_name(path.name + ".gz").write_bytes(gz)
        files[name] = File(len(content), kind, f"digest-{len(files)}", "0123456789abcdef" in name, len(br), len(gz))
    Manifest(VERSION, SHA512, ("'sha256-inline'",), files).write(tmp_path)
    return tmp_path


@pytest.fixture
def memory() -> Memory:
    return Memory()


class Dicomweb:
    """A gateway that notes what reaches it."""

    def __init__(self) -> None:
        self.paths: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["raw_path"])
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b"gateway"})


@pytest.fixture
def dicomweb() -> Dicomweb:
    return Dicomweb()


@pytest.fixture(params=["http://127.0.0.1:8000"])
def public_url(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def caller(memory: Memory, viewer_folder: Path, dicomweb: Dicomweb, public_url: str) -> Caller:
    app = public_app(memory, NoCodes(), ViewerFiles(viewer_folder), dicomweb, PublicPages(public_url), lambda: NOW)
    return Caller(app)
