"""What is told of the settings of Orthanc's plugin, and of an Orthanc that was tried out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from keyhole.operations.doctor.deployment import deployment
from keyhole.operations.doctor.live import Facts
from keyhole.operations.doctor.plugin import plugin
from keyhole.operations.doctor.specimen import Specimen
from keyhole.settings import Settings, load_settings

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SAFE = Facts(
    labels=True,
    stranger=403,
    reads={"the study": 200, "its metadata through DICOMweb": 200, "its patient": 403},
    writes={"anonymise it": 403, "modify it": 405, "delete it": 404},
)


def set_to(tmp_path: Path, **more: str) -> Settings:
    usual = {
        "KEYHOLE_ARCHIVE": str(tmp_path),
        "KEYHOLE_DATA": str(tmp_path),
        "KEYHOLE_PUBLIC_URL": "http://127.0.0.1:8000",
        "KEYHOLE_PLUGIN_USER": "orthanc",
        "KEYHOLE_PLUGIN_PASSWORD": "not-a-real-password",
    }
    return load_settings(usual | {f"KEYHOLE_PLUGIN_{name}": value for name, value in more.items()})


def told(tmp_path: Path, **more: str) -> dict[str, str]:
    return {found.check: found.severity.value for found in plugin(set_to(tmp_path, **more), NOW)}


def test_as_it_comes_only_the_landing_is_noted(tmp_path: Path) -> None:
    assert told(tmp_path) == {
        "plugin-creation": "note",
        "plugin-conditions": "ok",
        "plugin-anonymous": "ok",
        "plugin-validity": "ok",
    }
    (found, *_) = plugin(set_to(tmp_path), NOW)
    assert "any study of it, for 7 days at most" in found.fact


def test_without_an_orthanc_nothing_is_told(tmp_path: Path) -> None:
    rest = {"KEYHOLE_ARCHIVE": str(tmp_path), "KEYHOLE_DATA": str(tmp_path), "KEYHOLE_PUBLIC_URL": "http://127.0.0.1"}
    assert list(plugin(load_settings(rest), NOW)) == []


@pytest.mark.parametrize(
    ("name", "value", "check", "severity"),
    [
        ("CREATION", "off", "plugin-creation", "ok"),
        ("CREATION", "trusted", "plugin-creation", "warning"),
        ("CONDITIONS", "none", "plugin-conditions", "note"),
        ("ANONYMOUS_ROLES", "uploader", "plugin-anonymous", "warning"),
        ("VALIDITY", "60", "plugin-validity", "warning"),
        ("VALIDITY", "0", "plugin-validity", "ok"),
    ],
)
def test_what_opens_more_is_told(tmp_path: Path, name: str, value: str, check: str, severity: str) -> None:
    assert told(tmp_path, **{name: value})[check] == severity


@pytest.mark.parametrize(("days", "severity"), [(365, "note"), (30, "note"), (29, "warning"), (-1, "warning")])
def test_the_last_day_of_old_links_is_told_before_it_comes(tmp_path: Path, days: int, severity: str) -> None:
    until = (NOW + timedelta(days=days)).isoformat()
    found = told(tmp_path, LEGACY_SECRET="a-secret-of-some-length", LEGACY_UNTIL=until)
    assert found["plugin-legacy"] == severity


# -- what was tried


def judged(facts: Facts) -> dict[str, str]:
    return {found.check: found.severity.value for found in deployment(facts)}


def test_where_everything_is_closed_everything_is_well() -> None:
    assert set(judged(SAFE).values()) == {"ok"}


@pytest.mark.parametrize(
    ("facts", "check", "severity"),
    [
        (replace(SAFE, writes={"modify it": 200}), "orthanc-link-writes", "error"),
        (replace(SAFE, writes={"modify it": 500}), "orthanc-link-writes", "warning"),
        (replace(SAFE, writes={"modify it": 0}), "orthanc-link-writes", "warning"),
        (replace(SAFE, writes={"modify it": 400}), "orthanc-link-writes", "warning"),
        (replace(SAFE, stranger=200), "orthanc-plugin", "error"),
        (replace(SAFE, open_routes=("/system",)), "orthanc-open", "warning"),
        (replace(SAFE, lookup=True), "orthanc-lookup", "note"),
        (replace(SAFE, labels=False), "orthanc-labels", "note"),
        (replace(SAFE, left=("a",)), "orthanc-study", "error"),
        (replace(SAFE, failed=("uploading a study", 403)), "orthanc-study", "warning"),
        (replace(SAFE, reads=dict(SAFE.reads) | {"the study": 403}), "orthanc-link-reads", "warning"),
        (replace(SAFE, reads=dict(SAFE.reads) | {"its patient": 200}), "orthanc-link-beyond", "error"),
        (
            replace(SAFE, reads=dict(SAFE.reads) | {"its metadata through DICOMweb": 404}),
            "orthanc-link-dicomweb",
            "warning",
        ),
    ],
)
def test_what_is_open_is_told(facts: Facts, check: str, severity: str) -> None:
    assert judged(facts)[check] == severity


def test_a_specimen_is_a_file_of_its_own() -> None:
    one, other = Specimen.new("0" * 31 + "1"), Specimen.new("f" * 32)
    assert one.study != other.study
    for specimen in (one, other):
        item = dcmread(DicomBytesIO(specimen.file(2)))
        assert (item.PatientID, item.StudyInstanceUID) == (specimen.patient, specimen.study)
        assert all(len(uid) <= 64 and uid.is_valid for uid in (item.StudyInstanceUID, item.SOPInstanceUID))
        assert item.SOPInstanceUID != dcmread(DicomBytesIO(specimen.file(3))).SOPInstanceUID
