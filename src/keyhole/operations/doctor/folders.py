"""The data folder: room, rights, and what lies beside what."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keyhole.gateway import keys_file
from keyhole.operations.doctor import mounts
from keyhole.operations.doctor.finding import Finding, error, note, ok, warning

_LITTLE = 1 << 30
_NOTHING = 100 << 20
_LEAST_SHARE = 0.05
_FEW_INODES = 1000
_MB = 1_000_000
_OURS = ("keyhole.db", "keyhole.db-wal", "keyhole.db-shm", "trail.head", "trail.heads", "capabilities.json")


@dataclass(frozen=True, slots=True)
class Rights:
    """Who owns a file or folder, and what others may do with it."""

    path: Path
    owner: int
    mode: int

    @property
    def open(self) -> bool:
        """Whether anybody but its owner may do anything with it."""
        return bool(self.mode & (stat.S_IRWXG | stat.S_IRWXO))

    @property
    def writable(self) -> bool:
        """Whether everybody may change it; a sticky folder keeps others' files from being replaced."""
        return bool(self.mode & stat.S_IWOTH) and not self.mode & stat.S_ISVTX


def rights(path: Path) -> Rights | None:
    """Those of *path*; None when it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return Rights(path, found.st_uid, stat.S_IMODE(found.st_mode))


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """The data folder as it was found. ``folder`` None: it is not there yet."""

    path: Path
    folder: Rights | None
    keys: Rights | None
    files: tuple[Rights, ...] = ()
    parents: tuple[Rights, ...] = ()
    me: int = 0
    local_database: bool = True


def look(data: Path, *, local_database: bool) -> FolderFacts:
    """The data folder at *data*; OSError when it cannot be looked at."""
    return FolderFacts(
        path=data,
        folder=rights(data),
        keys=rights(data / keys_file.NAME),
        files=tuple(filter(None, (rights(data / name) for name in _OURS))),
        parents=tuple(filter(None, map(rights, data.parents))),
        me=os.geteuid(),
        local_database=local_database,
    )


def data(facts: FolderFacts) -> Iterator[Finding]:
    """The folder itself, and the way to it."""
    if facts.folder is None:
        yield note("data-folder", f"the data folder is not there yet: {facts.path}", "keyhole serve makes it")
        return
    if facts.folder.open:
        yield warning(
            "data-folder",
            f"the data folder can be looked into by other users: {facts.path}",
            "they see which files there are; the files themselves are closed",
            f"run: chmod 700 {facts.path}",
        )
    else:
        yield ok("data-folder", "the data folder is its owner's alone")
    for parent in facts.parents:
        if parent.writable:
            yield error(
                "data-parent",
                f"every user of this machine can replace the data folder: {parent.path} is writable by all",
                "another folder, with other keys and shares, can be put in its place",
                f"run: chmod o-w {parent.path}",
            )


def keys(facts: FolderFacts) -> Iterator[Finding]:
    """The file that every link is derived from."""
    if facts.keys is None:
        return
    path = facts.keys.path
    if facts.keys.open:
        yield error(
            "keys-open",
            f"other users can read the key ring: {path} has mode {facts.keys.mode:04o}",
            "whoever reads it and a list of shares can make every link; Keyhole does not start with it",
            f"run: chmod 600 {path}; if somebody may have read it: keyhole keys rotate, and renew the shares",
        )
    else:
        yield ok("keys-open", "the key ring is its owner's alone")
    yield from _owners(facts, facts.keys)
    if facts.local_database:
        yield note(
            "keys-beside",
            "the key ring and the database are in one folder",
            "a backup of the whole folder holds both: whoever has it can open every link that is still live",
            f"back {keys_file.NAME} up apart from the rest, to another place",
        )


def _owners(facts: FolderFacts, ring: Rights) -> Iterator[Finding]:
    """Whether one user owns what the service's user has to read and write."""
    owners = {each.owner for each in (ring, *facts.files)} | ({facts.folder.owner} if facts.folder else set())
    if len(owners) > 1:
        yield warning(
            "data-owner",
            f"files in the data folder belong to different users: {', '.join(map(str, sorted(owners)))}",
            "the service cannot use what is not its own: a command that was run as another user has left it",
            f"run: chown -R USER {facts.path}, with the user that keyhole serve runs as",
        )
    elif facts.me and facts.me not in owners:
        yield warning(
            "data-owner",
            "the data folder belongs to another user than the one who asks",
            "what is found here is not what the service finds",
            "run keyhole as the user that keyhole serve runs as",
        )


def open_files(facts: FolderFacts) -> Iterator[Finding]:
    """The other files of ours that hold names, notes and addresses."""
    if not facts.folder or not facts.folder.open:
        return
    for each in facts.files:
        if each.mode & (stat.S_IROTH | stat.S_IWOTH) and each.path.name != "capabilities.json":
            yield warning(
                "data-file",
                f"every user of this machine can read {each.path}",
                "it holds who saw what, and notes about recipients",
                f"run: chmod 600 {each.path}",
            )


def space(what: str, found: mounts.Room) -> Iterator[Finding]:
    """Whether there is room where *what* is."""
    told = f"{found.free / _MB / 1000:.1f} GB are free for {what}"
    meaning = "when it is full nothing can be put on the trail, and nothing is released"
    if found.free < _NOTHING:
        yield error("disk", f"only {found.free // _MB} MB are free for {what}", meaning, "make room")
    elif found.free < _LITTLE or found.free < found.total * _LEAST_SHARE:
        yield warning("disk", told, meaning, "make room, and have it watched")
    elif found.inodes_free is not None and found.inodes_free < _FEW_INODES:
        yield warning("disk", f"only {found.inodes_free} files can still be made for {what}", meaning, "remove some")
    else:
        yield ok("disk", told)
