"""The seal at the end of a backup: what it is, and a digest that only whoever has the key ring can make.

A backup is an SQLite database followed by a block of fixed size: a line that begins with ``keyhole backup`` and the
version of this format, then JSON, padded with blanks. ``seal`` is ``HMAC-SHA256(key, "keyhole backup" ‖ 0 ‖ the other
members)`` with the trail's key that ``key`` names: nobody can put a share or a key into a backup without the ring.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import msgspec

from keyhole.errors import Refused
from keyhole.store.chain import Signing

FORMAT = 1

_MAGIC = b"keyhole backup "
_DATABASE = b"SQLite format 3\0"
_BLOCK = 1024
_CHUNK = 1 << 20
_OTHER = "give a file that keyhole backup wrote"


@dataclass(frozen=True, slots=True)
class Seal:
    """What a backup says about itself: ``content`` is SHA-256 of the first ``size`` bytes; ``rows`` are the trail's."""

    made_at: str
    version: str
    rows: int
    size: int
    content: str
    key: str
    seal: str = ""

    def by(self, signing: Signing) -> str:
        """The seal that these members should have."""
        members = msgspec.json.encode(asdict(replace(self, seal="")), order="sorted")
        return hmac.digest(signing.keys[self.key], b"keyhole backup\0" + members, "sha256").hex()


def put(file: Path, signing: Signing, *, made_at: str, version: str, rows: int) -> Seal:
    """Make the database in *file* a backup, durably."""
    with file.open("r+b") as kept:
        size, content = _digest(kept)
        plain = Seal(made_at, version, rows, size, content, signing.current)
        seal = replace(plain, seal=plain.by(signing))
        kept.write(b"%s%d " % (_MAGIC, FORMAT) + msgspec.json.encode(seal).ljust(_BLOCK - len(_MAGIC) - 3) + b"\n")
        kept.flush()
        os.fsync(kept.fileno())
    return seal


def unpack(file: Path, signing: Signing, to: Path | None = None) -> Seal:
    """Check the backup *file* against its seal, and write the database in it to *to*.

    Refused, with what is wrong, when it is no backup, not whole, altered, or was made with keys that are not here.
    """
    with _opened(file) as kept:
        seal = _read(file, kept)
        if seal.key not in signing.keys:
            raise Refused(
                f"{file} was made with a key that is not in keys.json",
                "put the backup of keys.json that belongs to it in the data folder",
            )
        kept.seek(0)
        whole = (seal.size, seal.content) == _digest(kept, to, seal.size)
    if not whole or not hmac.compare_digest(seal.seal.encode(), seal.by(signing).encode()):
        raise Refused(f"{file} is damaged, or was altered", "use another backup")
    return seal


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}", _OTHER) from None


def _read(file: Path, kept: BinaryIO) -> Seal:
    begins = kept.read(len(_DATABASE))
    kept.seek(max(kept.seek(0, os.SEEK_END) - _BLOCK, 0))
    block = kept.read(_BLOCK)
    if not block.startswith(_MAGIC):
        cut = begins == _DATABASE
        raise Refused(f"{file} is no whole backup: its end is missing" if cut else f"{file} is no backup", _OTHER)
    version, _, members = block.removeprefix(_MAGIC).partition(b" ")
    if version != b"%d" % FORMAT:
        raise Refused(f"{file} is in a format that this version does not know", "restore it with a newer version")
    try:
        return msgspec.json.decode(members, type=Seal)
    except msgspec.MsgspecError:
        raise Refused(f"{file} is damaged, or was altered", "use another backup") from None


def _digest(kept: BinaryIO, to: Path | None = None, size: int | None = None) -> tuple[int, str]:
    """How many bytes there are until the end, or *size*, and their digest; they are copied to *to*."""
    digest, done = hashlib.sha256(), 0
    with (to or Path(os.devnull)).open("wb") as copy:
        while chunk := kept.read(_CHUNK if size is None else min(_CHUNK, size - done)):
            digest.update(chunk)
            copy.write(chunk)
            done += len(chunk)
    return done, digest.hexdigest()
