"""One request asks for one frame a hundred times: a hundred reads for the archive, one line for whoever asks."""

from __future__ import annotations

import pytest

from keyhole.access.decision import Reason
from keyhole.dicom import dicomweb, orthanc
from keyhole.dicom.route import Match, Refusal

INSTANCE = "/studies/1/series/2/instances/3/frames/"


@pytest.mark.parametrize("frames", ["1,1", "1,2,3,1", ",".join(["7"] * 100)])
@pytest.mark.parametrize("what", ["", "/rendered", "/thumbnail"])
def test_a_frame_is_asked_for_once(frames: str, what: str) -> None:
    found = dicomweb.match("GET", f"{INSTANCE}{frames}{what}".encode())
    assert isinstance(found, Refusal)
    assert found.reason is Reason.NOT_CANONICAL
    assert isinstance(orthanc.match("GET", f"{orthanc.DICOMWEB_ROOT}{INSTANCE}{frames}{what}".encode()), Refusal)


@pytest.mark.parametrize("frames", ["1", "11,1,111", "3,2,1"])
def test_different_ones_are_matched_whatever_their_order(frames: str) -> None:
    assert isinstance(dicomweb.match("GET", (INSTANCE + frames).encode()), Match)
