"""The whole web service of Orthanc's plugin in one process, for as many Orthancs as a test wants."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from keyhole.access.decision import Event, Record
from keyhole.access.share import Share, ShareChange
from keyhole.dicom.orthanc import name_of
from keyhole.gateway.fetch import Source
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.key_users import KeyUsers
from keyhole.gateway.plugin.mailing import Mailing
from keyhole.gateway.plugin.profiles import Profiles
from keyhole.gateway.plugin.roles import Roles
from keyhole.gateway.plugin.templates import Templates
from keyhole.gateway.scoping import Capabilities
from keyhole.gateway.throttle import Throttle
from keyhole.sharing.token import Creation, Opens, token_of
from keyhole.web.plugin import emails, links, profile, roles, validate
from keyhole.web.plugin.credentials import Credential, Credentials
from keyhole.web.plugin.wire import Plugin
from tests import asgi
from tests.gateway.fake_archive import element
from tests.gateway.gate import PUBLIC
from tests.gateway.plugin.world import OHIF_URL, ORTHANC_URL, PASSWORD, PATIENTS, World
from tests.gateway.small_archive import SmallArchive

LANDING = Caller(name="orthanc", archive="main")
TRUSTED = Caller(name="orthanc", archive="main", creation=Creation.TRUSTED)


class Outbox:
    """A mail server that keeps what it is given."""

    def __init__(self) -> None:
        """Nothing has been sent."""
        self.sent: list[EmailMessage] = []

    async def send(self, message: EmailMessage) -> None:
        self.sent.append(message)


def archive(patients: Mapping[str, str], name: str = "main") -> SmallArchive:
    """An archive with one series in each study, whose patient *patients* says."""
    small = SmallArchive(name=name)
    for study in patients:
        small.holding(study, f"{study}.1")
    for item in small.instances:
        item["00100020"] = element(patients[item["0020000D"]["Value"][0]])
    return small


@dataclass
class Service:
    """*callers* are the Orthancs that ask, each under its name. ``second`` is what another archive holds."""

    callers: Sequence[Caller] = (LANDING,)
    types: Mapping[str, Opens] = field(default_factory=dict)
    patients: Mapping[str, str] = field(default_factory=lambda: PATIENTS)
    second: Mapping[str, str] = field(default_factory=dict)
    validity: int = 1

    def __post_init__(self) -> None:
        self.world = World(types=self.types, validity=self.validity, rest=False)
        self.gate, self.tokens = self.world.gate, self.world.tokens
        self.gate.archive.instances[:] = archive(self.patients).instances
        self.gate.sources["second"] = Source(archive(self.second, "second"), Capabilities(parents=True))
        self.outbox = Outbox()
        credentials = Credentials([Credential.of(caller, caller.name, PASSWORD) for caller in self.callers])
        of_tokens = (validate.route(self.world.validator), *links.routes(self.world.desk, self.world.reader))
        routes = (*of_tokens, *self._of_users(), *self._of_mail())
        self.app = Plugin(routes, credentials, self.gate.ledger.refuse, self.gate.clock)

    def _of_users(self) -> tuple[Any, ...]:
        gate = self.gate
        book = Roles(current=gate.current, store=gate.store, ledger=gate.ledger, now=gate.clock)
        profiles = Profiles(
            users=(KeyUsers(gate.current, gate.clock),),
            roles=book,
            ledger=gate.ledger,
            validity=5,
            anonymous=frozenset(),
            now=gate.clock,
        )
        return (profile.route(profiles), *roles.routes(book))

    def _of_mail(self) -> tuple[Any, ...]:
        gate, templates = self.gate, Templates(None)
        mailing = Mailing(
            post=self.outbox,
            templates=templates,
            rows=gate.current,
            tokens=self.tokens,
            ring=gate.ring,
            ledger=gate.ledger,
            throttle=Throttle(at_once=30, per_second=1),
            sender="keyhole@example.org",
            reply_to=None,
            domains=frozenset(),
            roots=[PUBLIC, ORTHANC_URL, OHIF_URL],
            now=gate.clock,
        )
        return emails.routes(templates, mailing)

    # -- what a test knows

    def name(self, study: str) -> str:
        """Orthanc's name of a study."""
        return name_of({**self.patients, **self.second}[study], study)

    def token(self, share: Share) -> str:
        return token_of(share, self.gate.ring).reveal()

    async def the_share(self, token: str) -> Share:
        """The share of a token that was given out."""
        share = await self.gate.store.share(token.split("_")[1])
        assert share is not None
        return share

    async def change(self, share: Share, **change: Any) -> Share:
        """Change a share as its sender does."""
        record = Record(at=self.gate.now, event=Event.SHARE_CHANGED, subject="user:anna", share=share.id)
        return await self.gate.store.change_share(share.id, ShareChange(**change), record)

    # -- over the wire

    async def send(
        self, method: str, path: str, body: bytes = b"", *, by: str = "orthanc", more: Mapping[str, str] | None = None
    ) -> asgi.Answer:
        """One call, in pieces, by the Orthanc of that name."""
        pieces = [body[:5], body[5:]] if body else []
        return await asgi.Caller(self.app).call(method, f"/plugin/{path}", {**basic(by), **(more or {})}, pieces)

    async def ask(self, method: str, path: str, content: Any, *, by: str = "orthanc") -> asgi.Answer:
        return await self.send(method, path, json.dumps(content).encode(), by=by)

    async def make(self, kind: str, *studies: str, by: str = "orthanc", **more: Any) -> str:
        """The token of a new link to *studies*."""
        content = {"type": kind, "resources": [{"dicom-uid": study} for study in studies], **more}
        answer = await self.ask("PUT", f"tokens/{kind}", content, by=by)
        assert answer.status == 200, answer.text
        return str(answer.json()["token"])

    async def granted(self, token: str, study: str, method: str = "get", *, by: str = "orthanc", **more: Any) -> bool:
        question = {
            "method": method,
            "level": "study",
            "orthanc-id": self.name(study),
            "dicom-uid": study,
            "server-id": None,
            "token-key": "token",
            "token-value": token,
        }
        answer = await self.ask("POST", "tokens/validate", question | more, by=by)
        assert answer.status == 200
        return bool(answer.json()["granted"])

    async def decoded(self, token: str, *, by: str = "orthanc") -> dict[str, Any]:
        answer = await self.ask("POST", "tokens/decode", {"token-key": "token", "token-value": token}, by=by)
        assert answer.status == 200
        return dict(answer.json())

    async def profile(self, token: str, *, by: str = "orthanc", **more: Any) -> dict[str, Any]:
        asked = {"server-id": None, "token-key": "token", "token-value": token, **more}
        answer = await self.ask("POST", "user/get-profile", asked, by=by)
        assert answer.status == 200
        return dict(answer.json() or {})


def basic(user: str = "orthanc") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()}


__all__ = ["LANDING", "ORTHANC_URL", "PATIENTS", "TRUSTED", "Service", "basic"]
