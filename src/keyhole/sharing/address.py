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


_BELOW: Mapping[Viewer, str] = MappingProxyType(
    {
        Viewer.STONE: "stone-webviewer/index.html?study={uids}&selectedStudies={uids}&token={token}",
        Viewer.VOLVIEW: "volview/index.html?names=[archive.zip]&urls=../studies/{ids}/archive&token={token}",
        Viewer.OSIMIS: "osimis-viewer/app/index.html?pickableStudyIds={ids}&selectedStudyIds={ids}&token={token}",
        Viewer.OHIF: "viewer?StudyInstanceUIDs={uids}&token={token}",
        Viewer.MEDDREAM: "ui/app/token-landing.html?token={token}",
    }
)
"""What stands below the root of Orthanc, or of its OHIF."""


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
        root = self.ohif if viewer is Viewer.OHIF else self.orthanc
        if root is None or (viewer is Viewer.VOLVIEW and len(studies) != 1):
            return None
        return f"{root.rstrip('/')}/" + _BELOW[viewer].format(uids=",".join(studies), ids=",".join(names), token=token)
