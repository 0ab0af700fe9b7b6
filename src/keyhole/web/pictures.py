"""The built-in viewer's page: pictures that the archive renders, for phones without WebGL and for pictures only.

The page is the same for every visit; what it shows, its script asks of the visit's own DICOMweb root. It begins no
request that the gateway would not judge, and holds nothing of the patient.
"""

from __future__ import annotations

from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response

from keyhole.access.decision import Deny
from keyhole.access.secret import is_id
from keyhole.language import Language
from keyhole.language import later as _
from keyhole.sharing.viewer import OHIF, PICTURES
from keyhole.web import words
from keyhole.web.landing import Openings
from keyhole.web.pages import message, page
from keyhole.web.reader import language_of

TEXTS = MappingProxyType(
    {
        "place": _("image {index} of {count}"),
        "study": _("Study"),
        "nameless": _("Series {index}"),
        "not-shown": _("not a picture"),
        "usual": _("Usual"),
        "brain": _("Brain"),
        "lung": _("Lung"),
        "bone": _("Bone"),
        "abdomen": _("Abdomen"),
        "brighter": _("Brighter"),
        "darker": _("Darker"),
        "loading": _("Loading …"),
        "again": _("The archive does not answer. Trying again …"),
        "busy": _("Many people are looking just now. Trying again …"),
        "failed": _("The image could not be loaded. Please check that you are online, then try again."),
        "gone": _("This image is not in the archive any more. Please ask whoever sent you the link."),
        "unable": _("The archive cannot make a picture of this image. The others may still be shown."),
        "document": _("This is a report or another document, not a picture. It cannot be shown here."),
        "nothing": _("There are no images here now. Please ask whoever sent you the link."),
    }
)
"""What the viewer's script says, by the names that it has for it."""


class PicturePages:
    """The routes of the built-in viewer."""

    def __init__(self, openings: Openings) -> None:
        """Show it to whoever has a visit of *openings*."""
        self._openings = openings

    async def viewer(self, request: Request) -> Response:
        """The viewer, while the visit lasts."""
        visit = request.path_params["visit"]
        if not is_id(visit):
            return message(request, words.NOT_FOUND)
        match await self._openings.actions(visit, request.scope["headers"]):
            case Deny(reason):
                return message(request, reason)
            case actions:
                texts = spoken(language_of(request))
                return page(request, "pictures.html", texts=texts, more=OHIF.fits(actions))


def spoken(language: Language) -> dict[str, str]:
    """:data:`TEXTS` in *language*."""
    return {name: language.gettext(text) for name, text in TEXTS.items()}


def pictures_instead(request: Request) -> Response:
    """What is told to whoever asks for another viewer, and may look at pictures only."""
    return page(request, "pictures_instead.html", 403, pictures=PICTURES.open([], []))
