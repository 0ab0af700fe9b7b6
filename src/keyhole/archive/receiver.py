"""Take an upload apart while it comes in (RFC 2387, PS3.18 section 10.5.1), and say what became of its parts."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from keyhole.archive import media
from keyhole.archive.answers import Problem
from keyhole.archive.uploads import Failure, Result, Uploads, failure_of

PARTS_MOST = 5000
"""Parts of one upload: its receipt stays below 4 MB."""
LARGEST = 4 * 1024**3
"""Bytes of one instance."""

_CLASS, _INSTANCE = "00081150", "00081155"
_URL, _FAILURE = "00081190", "00081197"
_FAILED, _REFERENCED, _OTHERS = "00081198", "00081199", "0008119A"
_OK, _ACCEPTED, _CONFLICT = 200, 202, 409


class Receiver:
    """One upload, on its way into *uploads*. Every method may be called in another thread, one at a time."""

    def __init__(self, uploads: Uploads, content_type: str, study: str | None, *, largest: int = LARGEST) -> None:
        """Expect a body of *content_type*; raises Problem when it holds no DICOM files in parts."""
        self._uploads, self._study, self._largest = uploads, study, largest
        self.results: list[Result] = []
        self._ended = False
        self._file: tuple[Path, BinaryIO] | None = None
        self._failure: Failure | None = None
        self._size = 0
        self._name, self._value, self._type = bytearray(), bytearray(), ""
        self._lock = threading.Lock()
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._field,
            "on_headers_finished": self._open,
            "on_part_data": self._write,
            "on_part_end": self._close,
            "on_end": self._end,
        }
        self._parser = MultipartParser(_boundary(content_type), callbacks)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; raises Problem when they are no parts, or too many."""
        with self._lock:
            try:
                self._parser.write(chunk)
            except FormParserError:
                raise Problem(400, "The body is not made of parts as its Content-Type says.") from None

    def finish(self) -> None:
        """The body has ended; raises Problem when its parts have not."""
        if not self._ended or not self.results:
            raise Problem(400, "The body ends before its last part does, or has none.")

    def abandon(self) -> None:
        """Let go of a part that will never be whole."""
        with self._lock:
            self._discard()
            self._failure = Failure.PROCESSING

    def _begin(self) -> None:
        if len(self.results) >= PARTS_MOST:
            raise Problem(413, f"More than {PARTS_MOST} parts: send them in several uploads.")
        self._failure, self._size, self._type = None, 0, media.DICOM

    def _field(self) -> None:
        if bytes(self._name).lower() == b"content-type":
            self._type = self._value.decode("latin-1").partition(";")[0].strip().lower()
        self._name.clear()
        self._value.clear()

    def _open(self) -> None:
        if self._type != media.DICOM:
            self._failure = Failure.NOT_UNDERSTOOD
            return
        try:
            self._file = self._uploads.new()
        except OSError as error:
            self._failure = failure_of(error)

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            return
        self._size += end - start
        if self._size > self._largest:
            self._fail(Failure.OUT_OF_RESOURCES)
            return
        try:
            self._file[1].write(data[start:end])
        except OSError as error:
            self._fail(failure_of(error))

    def _fail(self, failure: Failure) -> None:
        self._failure = failure
        self._discard()

    def _close(self) -> None:
        self.results.append(self._stored())
        self._discard()

    def _stored(self) -> Result:
        if self._file is None or self._failure is not None:
            return Result(failure=self._failure or Failure.PROCESSING)
        try:
            return self._uploads.store(*self._file, self._study)
        except OSError as error:
            return Result(failure=failure_of(error))

    def _discard(self) -> None:
        """Close the file of this part, and take it away unless it has got its name."""
        if self._file is None:
            return
        path, file = self._file
        self._file = None
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def _end(self) -> None:
        self._ended = True


def _boundary(content_type: str) -> str:
    for one in media.parse_accept(content_type):
        kind, boundary = one.parameters.get("type", media.DICOM).lower(), one.parameters.get("boundary", "")
        if one.media_type == media.RELATED and kind == media.DICOM and 0 < len(boundary) <= 70:  # noqa: PLR2004 - RFC 2046
            return boundary
    raise Problem(415, "Only DICOM files in the parts of multipart/related can be stored.")


def receipt(results: Iterable[Result], root: str, study: str | None) -> tuple[int, dict[str, Any]]:
    """The status and the dataset that tell what became of each part (PS3.18 section 10.5.3)."""
    stored: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for result in results:
        if result.failure is None:
            stored.append(_item(result, root))
        else:
            (others if result.instance is None else failed).append(_item(result, root))
    lists = {_FAILED: failed, _REFERENCED: stored, _OTHERS: others}
    dataset = {tag: {"vr": "SQ", "Value": items} for tag, items in lists.items() if items}
    if study is not None and stored:
        dataset[_URL] = _element("UR", f"{root}/studies/{study}")
    status = _OK if not (failed or others) else _ACCEPTED if stored else _CONFLICT
    return status, dict(sorted(dataset.items()))


def _element(vr: str, value: object) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}


def _item(result: Result, root: str) -> dict[str, Any]:
    item = {}
    if (instance := result.instance) is not None:
        item[_CLASS] = _element("UI", instance.sop_class)
        item[_INSTANCE] = _element("UI", instance.uid)
        if result.failure is None:
            place = f"/studies/{instance.study}/series/{instance.series}/instances/{instance.uid}"
            item[_URL] = _element("UR", f"{root}{place}")
    if result.failure is not None:
        item[_FAILURE] = _element("US", int(result.failure))
    return item
