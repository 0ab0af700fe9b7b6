from __future__ import annotations

import base64
import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NoReturn

import brotli
import pytest

from keyhole.errors import Misconfigured
from keyhole.web import install_viewer as installer
from keyhole.web.install_viewer import FILES, LEFT_OUT, Manifest, install_viewer, wanted

INLINE = 'console.time("x"),window.PUBLIC_URL="/"'
INDEX = f'<script>{INLINE}</script><script src="/a.js"></script>'.encode()
PACKAGE = {
    "package/package.json": b"{}",
    "package/dist/index.html": INDEX + b" " * 600,
    "package/dist/12.bundle.0123456789abcdef.js": b"let a = 1;\n" * 1000,
    "package/dist/app.bundle.css": b"tiny",
    "package/dist/assets/0123456789abcdef.woff2": bytes(range(256)) * 4,
    "package/dist/ort/model.wasm": b"left out",
    "package/dist/customizations/a.json": b"left out",
    "package/dist/app.js.map": b"left out",
    "package/dist/unknown.ending": b"left out",
    **{f"package/dist/{name}": b"left out" for name in LEFT_OUT},
}


@pytest.fixture
def tarball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in PACKAGE.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o4777
            archive.addfile(member, io.BytesIO(content))
        for name in ("package/dist/../../outside.js", "/package/dist/absolute.js"):
            archive.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("package/dist/link.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    monkeypatch.setattr(installer, "SHA512", digest)
    return path


def test_only_what_is_served_is_installed(tmp_path: Path, tarball: Path) -> None:
    manifest = install_viewer(tmp_path / "viewer", tarball=tarball)
    assert set(manifest.files) == {
        "index.html",
        "12.bundle.0123456789abcdef.js",
        "app.bundle.css",
        "assets/0123456789abcdef.woff2",
    }
    found = {str(path.relative_to(tmp_path / "viewer" / FILES)) for path in (tmp_path / "viewer" / FILES).rglob("*.*")}
    assert {name.removesuffix(".br").removesuffix(".gz") for name in found} == set(manifest.files)


def test_files_take_no_right_to_be_run_from_the_package(tmp_path: Path, tarball: Path) -> None:
    install_viewer(tmp_path / "viewer", tarball=tarball)
    files = [path for path in (tmp_path / "viewer" / FILES).rglob("*") if path.is_file()]
    assert files
    assert all(path.stat().st_mode & 0o7111 == 0 for path in files)


def test_what_can_be_compressed_is_there_in_three_forms(tmp_path: Path, tarball: Path) -> None:
    manifest = install_viewer(tmp_path / "viewer", tarball=tarball)
    name = "12.bundle.0123456789abcdef.js"
    file, path = manifest.files[name], tmp_path / "viewer" / FILES / name
    content = PACKAGE[f"package/dist/{name}"]
    assert path.read_bytes() == content
    assert brotli.decompress(path.with_name(f"{name}.br").read_bytes()) == content
    assert gzip.decompress(path.with_name(f"{name}.gz").read_bytes()) == content
    assert (file.size, file.immutable, file.type) == (len(content), True, "text/javascript; charset=utf-8")
    assert (file.br, file.gz) == tuple(path.with_name(f"{name}{end}").stat().st_size for end in (".br", ".gz"))
    assert (manifest.files["app.bundle.css"].br, manifest.files["app.bundle.css"].immutable) == (0, False)


def test_scripts_within_the_page_are_known_by_hash(tmp_path: Path, tarball: Path) -> None:
    digest = base64.b64encode(hashlib.sha256(INLINE.encode()).digest()).decode()
    assert install_viewer(tmp_path / "viewer", tarball=tarball).inline_scripts == (f"'sha256-{digest}'",)


def test_a_second_time_nothing_is_done(tmp_path: Path, tarball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = install_viewer(tmp_path / "viewer", tarball=tarball)
    monkeypatch.setattr(shutil, "which", lambda _: pytest.fail("looked for npm"))
    assert install_viewer(tmp_path / "viewer") == first


@pytest.mark.parametrize("manifest", ["", "{}", "[]", '{"format": 0}', '{"format": 1, "files": {"a": {"b": 1}}}'])
def test_a_damaged_or_older_tree_is_replaced(tmp_path: Path, tarball: Path, manifest: str) -> None:
    folder = tmp_path / "viewer"
    folder.mkdir()
    (folder / "installed.json").write_text(manifest)
    (folder / "left.over").write_text("")
    assert Manifest.read(folder) is None
    installed = install_viewer(folder, tarball=tarball)
    assert Manifest.read(folder) == installed
    assert not (folder / "left.over").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"viewer", "package.tgz"}


def test_another_package_than_the_one_examined_is_not_installed(tmp_path: Path, tarball: Path) -> None:
    tarball.write_bytes(tarball.read_bytes() + b"\0")
    with pytest.raises(Misconfigured, match="not the package that was examined"):
        install_viewer(tmp_path / "viewer", tarball=tarball)
    assert {path.name for path in tmp_path.iterdir()} == {"package.tgz"}


def test_without_npm_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(Misconfigured, match=r"Install Node\.js"):
        install_viewer(tmp_path / "viewer")


def test_an_npm_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "noise\nnpm error ENOTFOUND\n")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(Misconfigured, match="npm error ENOTFOUND"):
        install_viewer(tmp_path / "viewer")


def test_an_npm_that_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> NoReturn:
        raise subprocess.TimeoutExpired("npm", 600)

    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(Misconfigured, match="check the network"):
        install_viewer(tmp_path / "viewer")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, tarball: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="set KEYHOLE_VIEWER"):
        install_viewer(tmp_path / "file" / "viewer", tarball=tarball)


def test_progress_reaches_its_end(tmp_path: Path, tarball: Path) -> None:
    told: list[tuple[str, int, int]] = []
    install_viewer(tmp_path / "viewer", lambda *step: told.append(step), tarball=tarball)
    what, done, total = told[-1]
    assert (what, done) == ("compressing", total)
    assert {step[0] for step in told} == {"unpacking", "compressing"}


@pytest.mark.parametrize("name", ["../a.js", "a/../b.js", "/a.js", "a//b.js", ".hidden.js", "a b.js", "a\\b.js", ""])
def test_odd_names_are_not_wanted(name: str) -> None:
    assert not wanted(name)
