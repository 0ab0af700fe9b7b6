"""Bring the viewer: OHIF from npm, compared with its pinned digest, only what is needed, compressed once.

``@ohif/app`` cannot be installed in the ordinary way (a peer was never published), so the package file is fetched by
``npm pack`` and unpacked here. The result is a folder with ``installed.json`` (the list of files, which is all that is
ever served) and ``files/``. It appears at once or not at all.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import brotli  # type: ignore[import-untyped]
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from keyhole.errors import Misconfigured

PACKAGE = "@ohif/app"
VERSION = "3.13.2"
SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
MANIFEST = "installed.json"
FILES = "files"

_FORMAT = 1
"""Raised when an older manifest can no longer be served, so that the viewer is installed anew."""
_FETCH_SECONDS = 600
_BROTLI_QUALITY = 9
_GZIP_LEVEL = 9
_WORKERS = 2
_WORTH_COMPRESSING = 512
_ROOT = "package/dist/"

LEFT_OUT = (
    "app-config.js",  # points at a public demo server; ours is a route of its own
    "init-service-worker.js",  # served empty: it throws on plain http
    "google.js",  # log-in pages of the stock application
    "silent-refresh.html",
    "oidc-client.min.js",
    "sw.js",  # never registered
    "_headers",  # settings for hosting services
    "_redirects",
    "serve.json",
)
LEFT_OUT_FOLDERS = ("ort/", "customizations/")
LEFT_OUT_ENDINGS = (".map",)

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webapp": "application/manifest+json",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
"""Media type by ending. A file with another ending is not installed: nothing is served as a guess."""

_COMPRESSIBLE = frozenset({".css", ".html", ".ico", ".js", ".json", ".mjs", ".svg", ".wasm", ".webapp", ".xml"})
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_HASHED = re.compile(r"(?:.*\.)?[0-9a-f]{16}\.[a-z0-9]+")
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many bytes of it are done, and of how many (0: not known)."""


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is served. ``br`` and ``gz`` are the sizes of its compressed forms, 0 when there is none."""

    size: int
    type: str
    digest: str
    immutable: bool
    br: int = 0
    gz: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is installed. ``inline_scripts`` are the CSP sources of the scripts that ``index.html`` holds."""

    version: str
    sha512: str
    inline_scripts: tuple[str, ...]
    files: dict[str, File]

    @property
    def current(self) -> bool:
        """Whether this is the version that this release serves."""
        return (self.version, self.sha512) == (VERSION, SHA512)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The manifest in *folder*; None when no viewer is installed there, or one of another format."""
        try:
            content = json.loads((folder / MANIFEST).read_bytes())
            if content["format"] != _FORMAT:
                return None
            files = {name: File(**file) for name, file in content["files"].items()}
            return cls(content["version"], content["sha512"], tuple(content["inline_scripts"]), files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, folder: Path) -> None:
        """Leave the manifest in *folder*."""
        text = json.dumps({"format": _FORMAT, **asdict(self)}, indent=1, sort_keys=True)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def quietly(_what: str, _done: int, _total: int) -> None:
    """Show no progress."""


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A bar on *console* for :func:`install_viewer`; nothing when that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("viewer", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"viewer: {what}", completed=done, total=total or None)

        yield show


def install_viewer(folder: Path, progress: Progress = quietly, *, tarball: Path | None = None) -> Manifest:
    """Have the viewer in *folder*, and return what is there; quick when it is there already.

    *tarball* is the package file when it need not be fetched. Raises Misconfigured, with what to do, when npm is
    missing or fails, when the package is not the one that was examined, or when *folder* cannot be written.
    """
    installed = Manifest.read(folder)
    if installed is not None and installed.current:
        return installed
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as scratch:
            built = Path(scratch) / "built"
            manifest = _build(tarball or _fetch(Path(scratch), progress), built, progress)
            _put_in_place(built, folder, Path(scratch) / "former")
    except OSError as error:
        raise Misconfigured(
            f"the viewer cannot be put in {folder} ({error.strerror}): give this user the right to write there, "
            "or set KEYHOLE_VIEWER to another folder"
        ) from error
    return manifest


def _fetch(scratch: Path, progress: Progress) -> Path:
    progress("fetching the package", 0, 0)
    npm = shutil.which("npm")
    if npm is None:
        raise Misconfigured("npm was not found: the viewer is fetched with it. Install Node.js 20 or newer with npm")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(scratch)]
    try:
        done = subprocess.run(  # noqa: S603 - a constant command, no shell
            command, cwd=scratch, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Misconfigured(f"npm did not bring {PACKAGE} within {_FETCH_SECONDS} s: check the network") from None
    found = list(scratch.glob("*.tgz"))
    if done.returncode != 0 or len(found) != 1:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Misconfigured(f"npm could not fetch {PACKAGE}@{VERSION} ({why}): check the network and npm's registry")
    return found[0]


def _build(tarball: Path, target: Path, progress: Progress) -> Manifest:
    _compare(tarball)
    files = target / FILES
    names = _unpack(tarball, files, progress)
    manifest = Manifest(
        VERSION, SHA512, _inline_scripts((files / "index.html").read_bytes()), _compress(files, names, progress)
    )
    manifest.write(target)
    return manifest


def _compare(tarball: Path) -> None:
    with tarball.open("rb") as file:
        found = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if found != SHA512:
        raise Misconfigured(
            f"{PACKAGE}@{VERSION} is not the package that was examined (its sha512 is {found}): not installed. "
            "Check where npm fetches packages from"
        )


def wanted(name: str) -> bool:
    """Whether the file *name* (relative to the package's ``dist``) is served, and so installed."""
    return (
        _NAME.fullmatch(name) is not None
        and name not in LEFT_OUT
        and not name.startswith(LEFT_OUT_FOLDERS)
        and not name.endswith(LEFT_OUT_ENDINGS)
        and Path(name).suffix in TYPES
    )


def _unpack(tarball: Path, target: Path, progress: Progress) -> list[str]:
    total = tarball.stat().st_size
    names = []
    with tarball.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:gz") as archive:
        for member in archive:
            progress("unpacking", raw.tell(), total)
            name = member.name.removeprefix(_ROOT)
            if member.isreg() and member.name.startswith(_ROOT) and wanted(name):
                _write(archive, member, target / name)
                names.append(name)
    return names


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """Write what is in *member*, without its mode and owner: Python before 3.11.4 has no filter for that."""
    place.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    if content is not None:  # a regular file always has one
        with content, place.open("wb") as file:
            shutil.copyfileobj(content, file)


def _compress(files: Path, names: Iterable[str], progress: Progress) -> dict[str, File]:
    """Describe and compress every file. Both compressors release the interpreter's lock, so threads do."""
    paths = {name: files / name for name in names}
    total, done, described = sum(path.stat().st_size for path in paths.values()), 0, {}
    with ThreadPoolExecutor(_WORKERS) as pool:
        largest_first = sorted(paths, key=lambda name: -paths[name].stat().st_size)
        running = {pool.submit(_describe, paths[name]): name for name in largest_first}
        for finished in as_completed(running):
            described[running[finished]] = file = finished.result()
            done += file.size
            progress("compressing", done, total)
    return described


def _describe(path: Path) -> File:
    raw = path.read_bytes()
    small = len(raw) < _WORTH_COMPRESSING or path.suffix not in _COMPRESSIBLE
    return File(
        size=len(raw),
        type=TYPES[path.suffix],
        digest=hashlib.sha256(raw).hexdigest()[:20],
        immutable=_HASHED.fullmatch(path.name) is not None,
        br=0 if small else _keep(path, ".br", brotli.compress(raw, quality=_BROTLI_QUALITY), len(raw)),
        gz=0 if small else _keep(path, ".gz", gzip.compress(raw, _GZIP_LEVEL, mtime=0), len(raw)),
    )


def _keep(path: Path, ending: str, compressed: bytes, size: int) -> int:
    if len(compressed) >= size:
        return 0
    path.with_name(path.name + ending).write_bytes(compressed)
    return len(compressed)


def _inline_scripts(page: bytes) -> tuple[str, ...]:
    """The scripts within *page* as sources of a Content-Security-Policy (CSP3 section 2.3.1)."""
    digests = (hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page))
    return tuple(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _put_in_place(built: Path, folder: Path, former: Path) -> None:
    """Rename *built* to *folder*. What another process has put there meanwhile is as good: both built the same."""
    installed = Manifest.read(folder)
    if installed is not None and installed.current:
        return
    if folder.exists():
        os.rename(folder, former)  # noqa: PTH104 - a rename, never a copy
    os.rename(built, folder)  # noqa: PTH104
