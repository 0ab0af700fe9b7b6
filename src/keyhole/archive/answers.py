"""Answers that are no images: problems (RFC 9457) and whole texts."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from keyhole.archive.answer import ArchiveAnswer
from keyhole.archive.media import DICOM_JSON
from keyhole.archive.metadata import DicomJson

PROBLEM = "application/problem+json"


class Problem(Exception):
    """Ends a request with a status and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        """Answer *status* and say *detail*, which holds nothing about patients."""
        super().__init__(detail)
        self.status = status
        self.detail = detail


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


def problem_answer(problem: Problem) -> ArchiveAnswer:
    """The answer that says *problem*."""
    content = msgspec.json.encode({"status": problem.status, "detail": problem.detail})
    return ArchiveAnswer(problem.status, PROBLEM, _once(content), len(content))


def json_answer(status: int, dataset: DicomJson) -> ArchiveAnswer:
    """One dataset, whole."""
    content = msgspec.json.encode(dataset)
    return ArchiveAnswer(status, DICOM_JSON, _once(content), len(content))


def not_found() -> Problem:
    """The one answer for everything that is not there."""
    return Problem(404, "There is nothing here.")


def not_acceptable(what: str) -> Problem:
    """None of the accepted media types is one that *what* can be answered in."""
    return Problem(406, f"{what} is not available in any of the media types that are accepted.")
