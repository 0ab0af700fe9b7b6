import pytest

from keyhole.access.resource import Action
from keyhole.access.share import ALLOWS, ShareKind
from keyhole.sharing.viewer import OHIF, PICTURES, VIEWERS, Viewer, viewer_for


def test_ohif_is_opened_on_all_studies() -> None:
    assert OHIF.open(["1.2.3", "1.2.4"], []) == "viewer?StudyInstanceUIDs=1.2.3,1.2.4"


def test_ohif_can_be_told_what_to_show_first() -> None:
    opened = OHIF.open(["1.2.3"], ["1.2.3.9", "1.2.3.8"])
    assert opened == "viewer?StudyInstanceUIDs=1.2.3&initialSeriesInstanceUID=1.2.3.9,1.2.3.8"


def test_ohif_is_not_opened_on_nothing() -> None:
    with pytest.raises(ValueError):
        OHIF.open([], [])


def test_pictures_are_opened_on_whatever_the_visit_holds() -> None:
    assert PICTURES.open(["1.2.3", "1.2.4"], []) == "pictures"


def test_pictures_can_be_told_what_to_show_first() -> None:
    assert PICTURES.open(["1.2.3"], ["1.2.3.9", "1.2.3.8"]) == "pictures?series=1.2.3.9"


@pytest.mark.parametrize(
    ("kind", "viewer"),
    [(ShareKind.VIEW, OHIF), (ShareKind.DOWNLOAD, OHIF), (ShareKind.VIEW_RENDERED, PICTURES)],
)
def test_each_kind_of_share_is_shown_in_the_viewer_that_shows_most_of_it(kind: ShareKind, viewer: Viewer) -> None:
    assert viewer_for(ALLOWS[kind]) is viewer


@pytest.mark.parametrize("kind", ShareKind)
def test_every_kind_of_share_can_be_looked_at_as_pictures(kind: ShareKind) -> None:
    assert PICTURES.fits(ALLOWS[kind])


def test_no_viewer_fits_who_may_only_search() -> None:
    assert not any(viewer.fits({Action.SEARCH}) for viewer in VIEWERS.values())
    assert viewer_for({Action.SEARCH}) is PICTURES


def test_viewers_are_found_by_name() -> None:
    assert [VIEWERS["ohif"], VIEWERS["pictures"]] == [OHIF, PICTURES]
