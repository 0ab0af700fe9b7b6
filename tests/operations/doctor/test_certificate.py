"""The certificate is found as a browser would find it: real ones, made here."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from keyhole.operations.doctor import certificate
from keyhole.operations.doctor.finding import Severity
from tests.operations.doctor.looks import found
from tests.operations.doctor.tls import made

NOW = time.time()


def told(files: tuple[Path, Path], host: str) -> dict[str, Severity]:
    return found(certificate.certificate(certificate.look(*files, host), host, time.time()))


@pytest.mark.parametrize(
    ("days", "severity"),
    [(90, Severity.OK), (5, Severity.WARNING), (-1, Severity.ERROR)],
    ids=["good", "ends soon", "over"],
)
def test_its_end_is_told(tmp_path: Path, days: int, severity: Severity) -> None:
    assert told(made(tmp_path, "images.example.org", days=days), "images.example.org") == {"certificate": severity}


def test_one_that_is_not_valid_yet_is_told(tmp_path: Path) -> None:
    files = made(tmp_path, "images.example.org", begins=datetime.now(UTC) + timedelta(days=2))
    assert told(files, "images.example.org") == {"certificate": Severity.ERROR}


@pytest.mark.parametrize("host", ["other.example.org", "example.org", "192.0.2.1"])
def test_one_for_another_name_is_told(tmp_path: Path, host: str) -> None:
    assert told(made(tmp_path, "images.example.org"), host) == {"certificate-name": Severity.ERROR}


def test_one_for_an_address_is_good_for_it(tmp_path: Path) -> None:
    files = made(tmp_path, str(ip_address("192.0.2.1")))
    assert told(files, "192.0.2.1") == {"certificate": Severity.OK}


def test_files_that_do_not_belong_together_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    files = made(tmp_path / "a", "images.example.org")[0], made(tmp_path / "b", "images.example.org")[1]
    assert told(files, "images.example.org") == {"certificate": Severity.ERROR}


def test_what_is_no_certificate_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nothing")
    assert told((tmp_path / "x", tmp_path / "x"), "images.example.org") == {"certificate": Severity.ERROR}


def test_whatever_else_openssl_finds_is_told() -> None:
    shown = certificate.Shown(18)
    assert found(certificate.certificate(shown, "x", NOW)) == {"certificate": Severity.WARNING}
