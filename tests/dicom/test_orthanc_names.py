"""Orthanc's names of what is in it, against those that were recorded from a real one."""

from __future__ import annotations

import pytest

from keyhole.access.resource import Level
from keyhole.dicom.orthanc import OrthancName, name_of

ROOT = "1.2.826.0.1.3680043.10.9999"


@pytest.mark.parametrize(
    ("patient", "study", "name"),
    [
        ("PAT-001x", f"{ROOT}.101", "8340c048-6ac438f0-8f76d6d4-6a1a0333-d1ff8ff8"),
        ("PAT-001x", f"{ROOT}.102", "c665b2a5-4ed01b04-51775ccd-f1d68a9c-cb5da0e6"),
        ("PAT-002x", f"{ROOT}.201", "eba5a998-20cb1a08-ec2626c5-1dd4b72d-0fb6e534"),
    ],
)
def test_a_study_has_the_name_that_orthanc_gives_it(patient: str, study: str, name: str) -> None:
    assert name_of(patient, study) == name


def test_every_name_has_the_form_of_one() -> None:
    for uids in ((), ("1.2",), ("1.2", "1.2.3")):
        assert OrthancName(Level.STUDY, name_of("Müller", *uids)).id
