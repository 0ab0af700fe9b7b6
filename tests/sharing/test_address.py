"""Addresses of viewers beside Orthanc: spelt as people's links to them are, or none."""

from __future__ import annotations

import pytest

from keyhole.sharing.address import NEEDS, Addresses
from keyhole.sharing.token import Viewer

ORTHANC, OHIF = "https://images.example/orthanc-X", "https://images.example/ohif-X"
BOTH = Addresses(ORTHANC, OHIF)
UIDS, NAMES = ["1.2.3", "1.2.4"], ["aaaa", "bbbb"]


@pytest.mark.parametrize(
    ("viewer", "address"),
    [
        (Viewer.STONE, f"{ORTHANC}/stone-webviewer/index.html?study=1.2.3,1.2.4&selectedStudies=1.2.3,1.2.4&token=t"),
        (Viewer.OHIF, f"{OHIF}/viewer?StudyInstanceUIDs=1.2.3,1.2.4&token=t"),
        (
            Viewer.OSIMIS,
            f"{ORTHANC}/osimis-viewer/app/index.html?pickableStudyIds=aaaa,bbbb&selectedStudyIds=aaaa,bbbb&token=t",
        ),
        (Viewer.VOLVIEW, None),
        (Viewer.MEDDREAM, None),
    ],
)
def test_several_studies_are_opened_at_once_where_a_viewer_can(viewer: Viewer, address: str | None) -> None:
    assert BOTH.of(viewer, UIDS, NAMES, "t") == address


def test_volview_is_opened_on_one_study() -> None:
    address = f"{ORTHANC}/volview/index.html?names=[archive.zip]&urls=../studies/aaaa/archive&token=t"
    assert BOTH.of(Viewer.VOLVIEW, UIDS[:1], NAMES[:1], "t") == address


@pytest.mark.parametrize("viewer", NEEDS)
def test_slashes_at_the_end_of_a_setting_do_not_matter(viewer: Viewer) -> None:
    slashed = Addresses(f"{ORTHANC}//", f"{OHIF}//")
    assert slashed.of(viewer, UIDS[:1], NAMES[:1], "t") == BOTH.of(viewer, UIDS[:1], NAMES[:1], "t")


@pytest.mark.parametrize("viewer", Viewer)
def test_a_viewer_has_no_address_without_what_it_needs(viewer: Viewer) -> None:
    known = {"KEYHOLE_PLUGIN_ORTHANC_URL": Addresses(orthanc=ORTHANC), "KEYHOLE_PLUGIN_OHIF_URL": Addresses(ohif=OHIF)}
    opened = {name for name, addresses in known.items() if addresses.of(viewer, UIDS[:1], NAMES[:1], "t") is not None}
    assert opened == ({NEEDS[viewer]} if viewer in NEEDS else set())
