"""An Orthanc whose plugin asks: everything behind its routes, over the gateway's own small world."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Level, Resource
from keyhole.access.share import Origin, Share, ShareChange, ShareKind
from keyhole.dicom.orthanc import OrthancName, name_of
from keyhole.gateway.desk import Desk
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.link_desk import LinkDesk
from keyhole.gateway.plugin.meddream import TokenService
from keyhole.gateway.plugin.naming import Naming
from keyhole.gateway.plugin.question import Question
from keyhole.gateway.plugin.reader import Reader
from keyhole.gateway.plugin.tokens import OwnTokens, Tokens
from keyhole.gateway.plugin.validator import Validator, Verdict
from keyhole.sharing.address import Addresses
from keyhole.sharing.token import Creation, Opens, token_of
from keyhole.web.plugin import links, validate
from keyhole.web.plugin.credentials import Credential, Credentials
from keyhole.web.plugin.wire import Plugin
from tests import asgi
from tests.gateway.fake_archive import element
from tests.gateway.gate import BAD, HERE, OK, OTHER_SERIES, SECOND, SERIES, SIBLING, Gate
from tests.gateway.small_archive import SmallArchive

PASSWORD = "a-password-of-some-length"
PATIENTS = {OK: "P1", SECOND: "P1", SIBLING: "P2", BAD: "P3"}
ORTHANC_URL, OHIF_URL = "https://orthanc.example.org", "https://ohif.example.org"
PAGE = "ohif-viewer-publication"
INSTANT = "viewer-instant-link"
DOWNLOAD = "download-instant-link"


def name(study: str, *below: str) -> str:
    """Orthanc's name of a study, or of a series in it."""
    return name_of(PATIENTS[study], study, *below)


def archive() -> SmallArchive:
    small = SmallArchive()
    small.holding(OK, SERIES, OTHER_SERIES).holding(SECOND, "1.2.2.1").holding(SIBLING, "1.2.3.1")
    small.holding(BAD, "9.9.9.1")
    for item in small.instances:
        item["00100020"] = element(PATIENTS[item["0020000D"]["Value"][0]])
    return small


class OrthancNames:
    """What Orthanc's REST API says of its names."""

    def __init__(self) -> None:
        """It has the archive's studies, their patients and series."""
        self.known: dict[OrthancName, Resource] = {}
        for study, patient in PATIENTS.items():
            self.known[OrthancName(Level.STUDY, name(study))] = Resource.of("main", study)
            self.known[OrthancName(Level.PATIENT, name_of(patient))] = Resource.patient("main", patient)
        for series in (SERIES, OTHER_SERIES):
            self.known[OrthancName(Level.SERIES, name(OK, series))] = Resource.of("main", OK, series)

    async def resource(self, asked: OrthancName) -> Resource | None:
        return self.known.get(asked)


@dataclass
class World:
    """The plugin of one Orthanc, called ``orthanc``, unless a test says otherwise."""

    caller: Caller = field(default_factory=lambda: Caller(name="orthanc", archive="main"))
    types: Mapping[str, Opens] = field(default_factory=dict)
    validity: int = 1
    rest: bool = True
    meddream: TokenService | None = None
    addresses: Addresses = field(default_factory=lambda: Addresses(ORTHANC_URL, OHIF_URL))

    def __post_init__(self) -> None:
        self.gate = Gate(archive=archive())
        gate, desk = self.gate, self.gate.desk
        own = OwnTokens(gate.current, gate.ring)
        self.tokens = Tokens((own,), self.types, own.stands)
        self.names = OrthancNames()
        self.validator = Validator(tokens=self.tokens, ledger=gate.ledger, validity=self.validity, now=gate.clock)
        self.desk = LinkDesk(
            shares=gate.store,
            ledger=gate.ledger,
            tokens=self.tokens,
            naming=Naming(gate.finder.studies, {"main": self.names} if self.rest else {}),
            ring=gate.ring,
            link=desk.link,
            addresses=self.addresses,
            longest_share=desk.longest_share,
            now=gate.clock,
            meddream=self.meddream,
        )
        self.reader = Reader(tokens=self.tokens, ledger=gate.ledger, way=self.desk.way, link=desk.link, now=gate.clock)
        routes = (validate.route(self.validator), *links.routes(self.desk, self.reader))
        credentials = Credentials([Credential.of(self.caller, "orthanc", PASSWORD)])
        self.app = Plugin(routes, credentials, gate.ledger.refuse, gate.clock)

    @property
    def staff(self) -> Desk:
        return self.gate.desk

    def after(self, time: timedelta) -> None:
        self.gate.after(time)

    async def share(self, *resources: tuple[str, ...], **more: Any) -> Share:
        """A share whose token opens it in Orthanc."""
        resources = resources or ((OK,),)
        values: dict[str, Any] = {
            "origin": Origin.PLUGIN,
            "token_type": INSTANT,
            "bearer": True,
            "creator": "plugin:orthanc",
            "kind": ShareKind.VIEW,
            "orthanc_ids": tuple(name(*each) for each in resources),
        }
        return await self.gate.share(*resources, **(values | more))

    async def withdraw(self, share: Share) -> None:
        await self.gate.store.change_share(share.id, ShareChange(withdrawn_at=self.gate.now), _record(share, self))

    def token(self, share: Share) -> str:
        return token_of(share, self.gate.ring).reveal()

    async def ask(self, share: Share | str, study: str = OK, method: str = "get", **more: Any) -> Verdict:
        """Ask as Orthanc does for a study; *more* are other fields of the question."""
        values: dict[str, Any] = {
            "method": method,
            "level": "study",
            "orthanc_id": name(study) if study in PATIENTS else "",
            "dicom_uid": study,
            "token_value": share if isinstance(share, str) else self.token(share),
        }
        verdict, _ = await self.validator.answer(self.caller, Question(**{**values, **more}))
        return verdict

    async def granted(self, share: Share | str, study: str = OK, method: str = "get", **more: Any) -> bool:
        return (await self.ask(share, study, method, **more)).granted

    # -- over the wire

    async def post(self, path: str, content: Any) -> asgi.Answer:
        return await asgi.Caller(self.app).post_json(f"/plugin/{path}", content, basic())

    async def put(self, path: str, content: Any) -> asgi.Answer:
        return await self.send("PUT", path, msgspec.json.encode(content))

    async def send(self, method: str, path: str, body: bytes) -> asgi.Answer:
        return await asgi.Caller(self.app).call(method, f"/plugin/{path}", basic(), [body])


def basic() -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"orthanc:{PASSWORD}".encode()).decode()}


def trusted(**more: Any) -> Caller:
    return Caller(name="orthanc", archive="main", creation=Creation.TRUSTED, **more)


def _record(share: Share, world: World) -> Any:
    return Record(at=world.gate.now, event=Event.SHARE_WITHDRAWN, subject="user:anna", share=share.id)


__all__ = ["BAD", "HERE", "OK", "OTHER_SERIES", "SECOND", "SERIES", "SIBLING", "World", "name", "trusted"]
