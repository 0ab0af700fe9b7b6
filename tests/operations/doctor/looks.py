"""Settings to look over, and what was found, in short."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from keyhole.operations.doctor.finding import Finding, Severity
from keyhole.settings import Settings, load_settings

BASE = {
    "KEYHOLE_ARCHIVE": "https://pacs.example.org/dicom-web",
    "KEYHOLE_ARCHIVE_NAME": "main",
    "KEYHOLE_DATA": "/nonexistent/data",
    "KEYHOLE_PUBLIC_URL": "https://images.example.org",
}


def settings(config: Path | None = None, **variables: str) -> Settings:
    """Settings that are well, but for what is given without ``KEYHOLE_``."""
    given = {f"KEYHOLE_{name.upper()}": value for name, value in variables.items()}
    return load_settings({**BASE, **given}, config)


def found(findings: Iterable[Finding]) -> dict[str, Severity]:
    """The worst severity of each check."""
    listed = list(findings)
    order = list(Severity)
    return {
        check: max((one.severity for one in listed if one.check == check), key=order.index)
        for check in dict.fromkeys(one.check for one in listed)
    }
