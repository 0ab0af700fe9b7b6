"""An Orthanc behind its plugin, tried out with a study of our own: what a link can do there, and what strangers can.

Asked as people with a link would, at the way in that they use; the study comes and goes by another one, with
credentials of somebody who may upload, share and delete. It is removed whatever happens, with all that was made of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import uuid4

from keyhole.operations.doctor.asking import Heard, Sent, Unheard, ask
from keyhole.operations.doctor.specimen import Specimen

LINK_TYPE: Final = "viewer-instant-link"
"""The type whose tokens can do most: its viewers read through DICOMweb."""

LABEL: Final = "keyhole-doctor"
_SECONDS = 120
_PATIENCE = 4.0
_JSON = {"Content-Type": "application/json"}
_STOW = "doctor"
_DONE, _REFUSED = 200, 403
_OPEN = (
    "/system", "/statistics", "/changes", "/exports", "/patients", "/studies", "/series", "/instances", "/jobs",
    "/plugins", "/modalities", "/peers", "/queries", "/tools/metrics-prometheus", "/dicom-web/studies",
    "/dicom-web/series", "/dicom-web/instances",
)  # fmt: skip
"""What anybody may ask who shows nothing, if it is left open: each tells something of what is in Orthanc."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where it is. ``inside`` is the way in by which the study comes and goes, with ``credentials`` (header fields)."""

    outside: str
    inside: str
    credentials: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found; statuses, and 0 where there was no answer.

    ``failed``: the step that could not be done, and how it was answered; what comes after it is unknown then.
    """

    failed: tuple[str, int | str] | None = None
    labels: bool | None = None
    stranger: int = 0
    open_routes: tuple[str, ...] = ()
    lookup: bool = False
    reads: Mapping[str, int] = field(default_factory=dict)
    writes: Mapping[str, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()


async def look(deployment: Deployment) -> Facts:
    """Try it out; raises Unheard when nothing answers at either way in."""
    await ask(f"{deployment.outside}/system")
    specimen = Specimen.new(uuid4().hex)
    trial = _Trial(deployment, specimen)
    facts = Facts()
    try:
        facts = await trial.run()
    finally:
        left = await trial.clean()
    return replace(facts, left=left)


class _Failed(Exception):
    """A step that the rest needs; the text is the step."""

    def __init__(self, step: str, answer: int | str) -> None:
        super().__init__(step)
        self.answer = answer


class _Trial:
    """One run, with one study."""

    def __init__(self, deployment: Deployment, specimen: Specimen) -> None:
        self._at = deployment
        self._specimen = specimen
        self._ids: Mapping[str, Any] = {}

    async def run(self) -> Facts:
        """All that is asked, in an order in which nothing spoils what comes after it: deleting is tried last."""
        facts = Facts()
        try:
            facts = replace(facts, labels=await self._has_labels())
            await self._upload()
            facts = replace(facts, stranger=await self._status(self._study), **await self._strangers())
            token = await self._link()
        except _Failed as step:
            return replace(facts, failed=(str(step), step.answer))
        held = {"token": token}
        return replace(facts, reads=await self._reads(held), writes=await self._writes(held))

    @property
    def _study(self) -> str:
        return f"/studies/{self._ids['ParentStudy']}"

    # -- inside, with credentials

    async def _inside(
        self, step: str, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> Any:  # noqa: ANN401 - JSON
        headers = {**self._at.credentials, "Content-Type": kind}
        try:
            heard = await ask(f"{self._at.inside}{path}", Sent(method, headers, body))
        except Unheard as why:
            raise _Failed(step, str(why)) from None
        if heard.status // 100 != 2:  # noqa: PLR2004 - done, or not
            raise _Failed(step, heard.status)
        try:
            return json.loads(heard.body) if heard.body else None
        except ValueError:
            return None

    async def _has_labels(self) -> bool:
        system = await self._inside("asking what it is", "GET", "/system")
        return isinstance(system, dict) and bool(system.get("HasLabels"))

    async def _upload(self) -> None:
        answer = await self._inside(
            "uploading a study", "POST", "/instances", self._specimen.file(1), "application/dicom"
        )
        if not isinstance(answer, dict) or not {"ID", "ParentStudy", "ParentPatient"} <= answer.keys():
            raise _Failed("uploading a study", "it did not say what became of it")
        self._ids = answer

    async def _link(self) -> str:
        order = {
            "Type": LINK_TYPE,
            "ValidityDuration": _SECONDS,
            "Resources": [{"DicomUid": self._specimen.study, "OrthancId": self._ids["ParentStudy"], "Level": "study"}],
        }
        step = "making a link to it"
        answer = await self._inside(step, "PUT", f"/auth/tokens/{LINK_TYPE}", json.dumps(order).encode())
        token = answer.get("Token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise _Failed(step, "there was no token in the answer")
        return token

    async def clean(self) -> tuple[str, ...]:
        """Remove the study and what was made of it; what is left all the same, by Orthanc's names."""
        try:
            left = await self._ours()
            for name in left:
                await self._inside("removing the study", "DELETE", f"/studies/{name}")
            return tuple(await self._ours()) if left else ()
        except _Failed:
            return (str(self._ids["ParentStudy"]),) if self._ids else ()

    async def _ours(self) -> list[str]:
        query = {"Level": "Study", "Query": {"PatientID": self._specimen.patient}}
        found = await self._inside("finding the study", "POST", "/tools/find", json.dumps(query).encode())
        return [str(name) for name in found] if isinstance(found, list) else []

    # -- outside, as others come

    async def _status(self, path: str, sent: Sent | None = None) -> int:
        heard = await self._outside(path, sent or Sent())
        return 0 if heard is None else heard.status

    async def _outside(self, path: str, sent: Sent) -> Heard | None:
        try:
            return await ask(f"{self._at.outside}{path}", replace(sent, patience=_PATIENCE))
        except Unheard:
            return None

    async def _strangers(self) -> dict[str, Any]:
        statuses = await asyncio.gather(*map(self._status, _OPEN))
        open_ = [path for path, status in zip(_OPEN, statuses, strict=True) if status == _DONE]
        uid = self._specimen.study.encode()
        lookup = await self._status("/tools/lookup", Sent("POST", {"Content-Type": "text/plain"}, uid))
        return {"open_routes": tuple(open_), "lookup": lookup == _DONE}

    async def _reads(self, held: Mapping[str, str]) -> dict[str, int]:
        rest, web = self._study, f"/dicom-web/studies/{self._specimen.study}/metadata"
        return {
            "the study": await self._status(rest, Sent(headers=held)),
            "its metadata through DICOMweb": await self._status(web, Sent(headers=held)),
            "its patient": await self._status(f"/patients/{self._ids['ParentPatient']}", Sent(headers=held)),
        }

    async def _writes(self, held: Mapping[str, str]) -> dict[str, int]:
        """Every way to change something that a link might have; what is made of the study keeps its patient's id."""
        keeps = {"PatientID": self._specimen.patient, "PatientName": self._specimen.patient}
        anonymised = json.dumps({"Replace": keeps, "Force": True, "Synchronous": True}).encode()
        modified = json.dumps({"Replace": {"StudyDescription": LABEL}, "Synchronous": True}).encode()
        typed = {**held, **_JSON}
        stow = {**held, "Content-Type": f'multipart/related; type="application/dicom"; boundary={_STOW}'}
        part = f"--{_STOW}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = part + self._specimen.file(2) + f"\r\n--{_STOW}--\r\n".encode()
        web, study = f"/dicom-web/studies/{self._specimen.study}", self._study
        tries = {
            "anonymise it": (f"{study}/anonymize", Sent("POST", typed, anonymised)),
            "modify it": (f"{study}/modify", Sent("POST", typed, modified)),
            "add images to it": (web, Sent("POST", stow, body)),
            "upload anything": ("/instances", Sent("POST", held, self._specimen.file(3))),
            "label it": (f"{study}/labels/{LABEL}", Sent("PUT", held)),
            "attach to it": (f"{study}/metadata/1024", Sent("PUT", held, b"keyhole")),
        }
        found = {what: await self._status(path, sent) for what, (path, sent) in tries.items()}
        found["delete it by another method's name"] = await self._deleted_by_another_name(held)
        found["delete it"] = await self._status(study, Sent("DELETE", held))
        return found

    async def _deleted_by_another_name(self, held: Mapping[str, str]) -> int:
        """Orthanc takes a GET that says so for a DELETE. The status of a GET tells nothing: what tells is the study."""
        for path, more in ((f"{self._study}?_method=DELETE", {}), (self._study, {"X-HTTP-Method-Override": "DELETE"})):
            await self._outside(path, Sent(headers={**held, **more}))
        return _REFUSED if self._ids["ParentStudy"] in await self._ours() else _DONE
