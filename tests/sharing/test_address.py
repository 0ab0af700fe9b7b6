"""The addresses of viewers beside Orthanc, spelt as links that were sent before are."""

from __future__ import annotations

import pytest

from keyhole.sharing.address import NEEDS, Addresses
from keyhole.sharing.token import Viewer

BOTH = Addresses("https://orthanc.example.org/", "https://ohif.example.org")
TWO = (("1.2", "1.3"), ("aa", "bb"))
ONE = (("1.2",), ("aa",))


@pytest.mark.parametrize(
    ("viewer", "address"),
    [
        (
            Viewer.STONE,
            "https://orthanc.example.org/stone-webviewer/index.html?study=1.2,1.3&selectedStudies=1.2,1.3&token=T",
        ),
        (Viewer.OHIF, "https://ohif.example.org/viewer?StudyInstanceUIDs=1.2,1.3&token=T"),
        (
            Viewer.OSIMIS,
            "https://orthanc.example.org/osimis-viewer/app/index.html?pickableStudyIds=aa,bb&selectedStudyIds=aa,bb&token=T",
        ),
    ],
)
def test_studies_are_joined_with_commas(viewer: Viewer, address: str) -> None:
    assert BOTH.of(viewer, *TWO, "T") == address


def test_volview_opens_one_study() -> None:
    address = "https://orthanc.example.org/volview/index.html?names=[archive.zip]&urls=../studies/aa/archive&token=T"
    assert BOTH.of(Viewer.VOLVIEW, *ONE, "T") == address
    assert BOTH.of(Viewer.VOLVIEW, *TWO, "T") is None


@pytest.mark.parametrize("viewer", list(Viewer))
def test_a_viewer_that_nobody_has_said_where_to_find_has_no_address(viewer: Viewer) -> None:
    assert Addresses().of(viewer, *ONE, "T") is None
    other = Addresses(orthanc="https://a") if viewer is Viewer.OHIF else Addresses(ohif="https://a")
    assert other.of(viewer, *ONE, "T") is None


def test_meddream_is_reached_by_way_of_the_explorers_landing_page() -> None:
    # It takes tokens of its own, which last minutes: people get one when they come.
    assert BOTH.of(Viewer.MEDDREAM, *ONE, "T") == "https://orthanc.example.org/ui/app/token-landing.html?token=T"


def test_every_viewer_says_what_it_needs() -> None:
    assert set(NEEDS) == set(Viewer)


@pytest.mark.parametrize("viewer", list(Viewer))
def test_only_slashes_are_taken_off_the_end_of_what_was_said(viewer: Viewer) -> None:
    plain, slashed = (
        Addresses("https://a/PACS-X", "https://b/OHIF-X"),
        Addresses("https://a/PACS-X//", "https://b/OHIF-X//"),
    )
    address = plain.of(viewer, *ONE, "T")
    assert address is not None
    assert address.startswith("https://b/OHIF-X/viewer" if viewer is Viewer.OHIF else "https://a/PACS-X/")
    assert slashed.of(viewer, *ONE, "T") == address
