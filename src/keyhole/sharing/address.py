"""The addresses of viewers that live beside Orthanc, as people's links to them are spelt. Pure.

They hold the token: whoever has the address has what it opens. Facts: the web service, section 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from keyhole.sharing.token import Viewer

NEEDS: Mapping[Viewer, str] = MappingProxyType(
    {
        Viewer.STONE: "KEYHOLE_PLUGIN_ORTHANC_URL",
        Viewer.VOLVIEW: "KEYHOLE_PLUGIN_ORTHANC_URL",
        Viewer.OSIMIS: "KEYHOLE_PLUGIN_ORTHANC_URL",
        Viewer.OHIF: "KEYHOLE_PLUGIN_OHIF_URL",
        Viewer.MEDDREAM: "KEYHOLE_PLUGIN_ORTHANC_URL",
    }
)
"""The setting without which a viewer has no address."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where people reach Orthanc and its OHIF; None where nobody has said."""

    orthanc: str | None = None
    ohif: str | None = None

    def of(self, viewer: Viewer, studies: Sequence[str], names: Sequence[str], token: str) -> str | None:
        """The address that opens *studies*, which Orthanc calls *names*, with *token*; None when there is none.

        VolView is opened on one study only. MedDream takes tokens of its own, which last minutes: people go to the
        Explorer's landing page, where they get one.
        """
        orthanc, uids, ids = f"{(self.orthanc or '').rstrip('/')}/", ",".join(studies), ",".join(names)
        if (self.ohif if viewer is Viewer.OHIF else self.orthanc) is None:
            return None
        match viewer:
            case Viewer.STONE:
                below = f"stone-webviewer/index.html?study={uids}&selectedStudies={uids}&token={token}"
            case Viewer.OHIF:
                return f"{(self.ohif or '').rstrip('/')}/viewer?StudyInstanceUIDs={uids}&token={token}"
            case Viewer.VOLVIEW if len(studies) == 1:
                archive = f"names=[archive.zip]&urls=../studies/{ids}/archive"
                below = f"volview/index.html?{archive}&token={token}"
            case Viewer.OSIMIS:
                below = f"osimis-viewer/app/index.html?pickableStudyIds={ids}&selectedStudyIds={ids}&token={token}"
            case Viewer.MEDDREAM:
                below = f"ui/app/token-landing.html?token={token}"
            case _:
                return None
        return orthanc + below
