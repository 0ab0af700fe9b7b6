import pytest

from keyhole.access.resource import Action
from keyhole.access.share import ALLOWS, ShareKind
from keyhole.sharing.viewer import OHIF, VIEWERS


def test_ohif_is_opened_on_all_studies() -> None:
    assert OHIF.open(["1.2.3", "1.2.4"], []) == "viewer?StudyInstanceUIDs=1.2.3,1.2.4"


def test_ohif_can_be_told_what_to_show_first() -> None:
    opened = OHIF.open(["1.2.3"], ["1.2.3.9", "1.2.3.8"])
    assert opened == "viewer?StudyInstanceUIDs=1.2.3&initialSeriesInstanceUID=1.2.3.9,1.2.3.8"


def test_a_viewer_is_not_opened_on_nothing() -> None:
    with pytest.raises(ValueError):
        OHIF.open([], [])


@pytest.mark.parametrize("kind", ShareKind)
def test_every_kind_of_share_can_be_looked_at_with_ohif(kind: ShareKind) -> None:
    assert OHIF.fits(ALLOWS[kind])


def test_a_viewer_does_not_fit_who_may_only_search() -> None:
    assert not OHIF.fits({Action.SEARCH})


def test_viewers_are_found_by_name() -> None:
    assert VIEWERS["ohif"] is OHIF
