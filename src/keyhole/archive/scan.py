"""Find the files of a folder and read what the index keeps of each."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
from pydicom.dataset import Dataset

from keyhole.access.resource import is_uid
from keyhole.archive.attributes import (
    INSTANCE_NUMBER,
    INSTANCE_UID,
    PATIENT_ID,
    PATIENT_ISSUER,
    SERIES_UID,
    SOP_CLASS,
    STUDY_UID,
)
from keyhole.archive.frames import PixelLayout, layout_of
from keyhole.archive.header import Header, Unreadable, opened, read_header
from keyhole.archive.metadata import DicomJson, dicom_json

_DIRECTORY = 0x00041220
_NUMBER_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the folder: its path below it as the system writes it, and what tells when it changes."""

    path: bytes
    mtime_ns: int
    size: int
    problem: str | None = None
    """Why it is not even opened."""


@dataclass(frozen=True, slots=True)
class Instance:
    """What the index keeps of one instance; ``dataset`` is its DICOM JSON, deflated."""

    study: str
    series: str
    uid: str
    sop_class: str
    number: int
    patient: str
    transfer_syntax: str
    layout: PixelLayout | None
    dataset: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """A file after reading: an instance, or why it is none."""

    found: Found
    instance: Instance | None = None
    problem: str | None = None


def walk(root: bytes, skip: frozenset[bytes] = frozenset()) -> Iterator[Found]:
    """Every file below *root* in the byte order of its path, which is the order of SQLite's ``BLOB``.

    Names that begin with a dot are passed over, as are *skip* (absolute paths). Symbolic links are not followed: what
    they lead to inside the folder has its own path there; one that leads out is found with a problem. Raises OSError
    when a folder cannot be listed now, except for want of permission, which is a problem of that folder.
    """
    real = os.path.realpath(root)
    stack = [_listed(root, real, b"", skip)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif isinstance(entry, Found):
            yield entry
        else:
            stack.append(_listed(root, real, entry, skip))


def _listed(root: bytes, real: bytes, below: bytes, skip: frozenset[bytes]) -> Iterator[Found | bytes]:
    """The files of one folder, and the paths of the folders in it, in order."""
    try:
        with os.scandir(os.path.join(root, below)) as listing:  # noqa: PTH118 - bytes
            keys = sorted(_sort_key(entry) for entry in listing if not entry.name.startswith(b"."))
    except PermissionError:
        if not below:
            raise
        yield Found(below, 0, 0, "a folder that may not be listed")
        return
    except (FileNotFoundError, NotADirectoryError):
        if not below:
            raise
        return
    for path in (below + key for key in keys):
        if path.endswith(b"/"):
            yield path
        elif os.path.join(root, path) not in skip and (found := _found(root, real, path)) is not None:  # noqa: PTH118
            yield found


def _sort_key(entry: os.DirEntry[bytes]) -> bytes:
    return entry.name + b"/" if entry.is_dir(follow_symlinks=False) else entry.name


def _found(root: bytes, real: bytes, path: bytes) -> Found | None:
    whole = os.path.join(root, path)  # noqa: PTH118 - bytes
    try:
        status = os.lstat(whole)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        inside = os.path.realpath(whole).startswith(real.rstrip(b"/") + b"/")
        return None if inside else Found(path, status.st_mtime_ns, 0, "a link that leaves the folder")
    if not stat.S_ISREG(status.st_mode):
        return Found(path, status.st_mtime_ns, 0, "not a regular file")
    return Found(path, status.st_mtime_ns, status.st_size)


def read(root: bytes, found: Found) -> Read:
    """Read *found*; whatever it holds, the answer is a value."""
    if found.problem is not None:
        return Read(found, problem=found.problem)
    try:
        with opened(os.path.join(root, found.path)) as file:  # noqa: PTH118 - bytes
            status = os.fstat(file.fileno())
            found = Found(found.path, status.st_mtime_ns, status.st_size)
            return Read(found, _instance(read_header(file)))
    except Unreadable as error:
        return Read(found, problem=str(error))
    except OSError as error:
        return Read(found, problem=f"cannot be read ({error.strerror})")
    except Exception as error:  # noqa: BLE001 - whatever a file holds, it must not stop the others
        return Read(found, problem=f"not readable as DICOM ({type(error).__name__})")


def _one(dataset: Dataset, tag: str) -> object:
    return dataset[int(tag, 16)].value if int(tag, 16) in dataset else None


def _uids(value: Callable[[str], object]) -> tuple[str, str, str]:
    """The UIDs that name the instance; Unreadable when one is missing or is none."""
    uids = tuple(str(value(tag) or "").strip() for tag in (STUDY_UID, SERIES_UID, INSTANCE_UID))
    for uid, level in zip(uids, ("study", "series", "instance"), strict=True):
        if not is_uid(uid):
            raise Unreadable(f"has no UID of its {level}" if not uid else f"the UID of its {level} is none")
    return uids[0], uids[1], uids[2]


def _instance(header: Header) -> Instance:
    """What *header* says; raises Unreadable when that names no instance."""
    if _DIRECTORY in header.dataset:
        raise Unreadable("a DICOMDIR, which holds no images")
    if not is_uid(header.transfer_syntax):
        raise Unreadable("its transfer syntax is none")
    layout = layout_of(header)
    uids = _uids(lambda tag: _one(header.dataset, tag))
    dataset = dicom_json(header, "/studies/{}/series/{}/instances/{}".format(*uids))
    number = first(dataset, INSTANCE_NUMBER)
    return Instance(
        *uids,
        sop_class=str(first(dataset, SOP_CLASS) or ""),
        number=number if isinstance(number, int) and abs(number) <= _NUMBER_MOST else _NUMBER_MOST,
        patient="\x1f".join(str(first(dataset, tag) or "") for tag in (PATIENT_ID, PATIENT_ISSUER)),
        transfer_syntax=header.transfer_syntax,
        layout=layout,
        dataset=zlib.compress(msgspec.json.encode(dataset), 3),
    )


def first(dataset: DicomJson, tag: str) -> object:
    """The first value of *tag* in *dataset*, or None."""
    values = dataset.get(tag, {}).get("Value")
    return values[0] if values else None
