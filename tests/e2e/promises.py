"""Clients who use a Keyhole that may end at any moment, and remember what it answered for."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from pydicom.uid import generate_uid

from tests.e2e import dataset, phantom
from tests.servers.keyhole import Answer, Keyhole, Opened

SENDERS = 3
RECENT = 12
"""Clients open and look through what was made last."""
PAUSE = 0.03
"""Seconds between two uploads: what they leave is read at every start."""
SIZE = 128
"""Rows and columns of an uploaded picture, which is thus sent in several pieces."""
SLICES = 5
GONE = (OSError, http.client.HTTPException)
BUSY = 503
"""What is answered while the database is away: nothing was promised then."""

_PARTS = 'multipart/related; type="application/dicom"; boundary=b'
_FRAME = "multipart/related; type=application/octet-stream; transfer-syntax=*"


@dataclass(eq=False)
class Made:
    """A share that was answered for."""

    id: str
    link: str
    limit: int | None
    begun: list[Opened] = field(default_factory=list)
    """Visits that were answered for."""
    unsure: int = 0
    """Openings that were asked for and not answered: they happened or they did not."""
    asked_back: bool = False
    """Somebody asked to withdraw it."""
    withdrawn: bool = False
    """And was told that it is."""


@dataclass
class Promises:
    """All that was answered for since the beginning, by all clients."""

    shares: list[Made] = field(default_factory=list)
    looked: Counter[str] = field(default_factory=Counter)
    """Frames that were received whole, by visit."""
    asked: Counter[str] = field(default_factory=Counter)
    """Frames that were asked for, by visit."""
    sent: dict[str, bytes] = field(default_factory=dict)
    """What was uploaded, answered for or not, by instance."""
    stored: set[str] = field(default_factory=set)
    """Instances that were answered for."""
    surprises: list[str] = field(default_factory=list)
    """Answers that nobody should get."""


class Load:
    """What the clients of one Keyhole do, in threads of their own, while it lives."""

    def __init__(self, server: Keyhole, sender: str, uploader: str, chance: random.Random) -> None:
        """Ask *server* with the API keys *sender* and *uploader*; *chance* decides what is done next."""
        self.promises = Promises()
        self._server, self._sender, self._uploader = server, _bearer(sender), _bearer(uploader)
        self._chance = chance
        self._lock = threading.Lock()
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """All clients at work; at the end of the context each gets its last answer, or none."""
        self._over.clear()
        actions = [self._one_thing] * SENDERS + [self._upload]
        clients = [threading.Thread(target=self._work, args=[action]) for action in actions]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self._over.set()
            for client in clients:
                client.join()

    def _work(self, action: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                action()
            except GONE:
                self._over.wait(0.02)
            except Exception as error:
                self.promises.surprises.append(f"{action.__name__}: {error!r}")
                raise

    def _one_thing(self) -> None:
        actions = (self._create, self._open, self._look, self._withdraw)
        self._chance.choices(actions, weights=(3, 6, 8, 1))[0]()

    def _recent(self) -> Made | None:
        shares = self.promises.shares[-RECENT:]
        return self._chance.choice(shares) if shares else None

    def _create(self) -> None:
        limit = self._chance.choice([1, 1, 3, None])
        wanted = {"studies": [dataset.PRIOR], "for": "7d", **({"max_visits": limit, "force": True} if limit else {})}
        answer = _api(self._server, "POST", "/api/v1/shares", self._sender, wanted)
        if self._is(answer, 201):
            made = answer.json()
            self._server.secrets.add(made["link"].partition("#")[2])
            self.promises.shares.append(Made(made["id"], made["link"], limit))

    def _open(self) -> None:
        if (share := self._recent()) is None:
            return
        with self._lock:
            share.unsure += 1
        answer = self._server.try_open(share.link)
        if answer.status == 410 and answer.json()["reason"] == "withdrawn":
            self._expect(share.asked_back, f"{share.id} is withdrawn")
        elif answer.status == 410:
            self._expect(share.limit is not None, f"{share.id} is {answer.json()['reason']}")
        elif self._is(answer, 201):
            given = answer.json()
            self._server.secrets.add(given["bearer"])
            with self._lock:
                share.begun.append(Opened(given["visit"], given["url"], given["bearer"], ""))
        if answer.status != BUSY:
            with self._lock:
                share.unsure -= 1

    def _look(self) -> None:
        share = self._recent()
        if share is None or not share.begun:
            return
        visit, number = self._chance.choice(share.begun), self._chance.randint(1, SLICES)
        with self._lock:
            self.promises.asked[visit.id] += 1
        answer = look(self._server, visit, number)
        if answer.status in (401, 410):
            self._expect(share.asked_back, f"{visit.id} of {share.id} is answered with {answer.status}")
        elif self._is(answer, 200):
            wanted = phantom.pixels(dataset.PRIOR, number, SIZE).tobytes()
            self._expect(wanted in answer.body, f"another picture than {number}")
            with self._lock:
                self.promises.looked[visit.id] += 1

    def _withdraw(self) -> None:
        if (share := self._recent()) is None:
            return
        share.asked_back = True
        answer = _api(self._server, "DELETE", f"/api/v1/shares/{share.id}", self._sender)
        if self._is(answer, 204):
            share.withdrawn = True

    def _upload(self) -> None:
        instances = dict(_uploads(self._chance.randint(1, 3)))
        self.promises.sent |= instances
        body = b"".join(b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n" + part for part in instances.values())
        headers = {**self._uploader, "Content-Type": _PARTS, "Accept": "application/dicom+json"}
        answer = self._server.ask("POST", "/dicom-web/studies", headers, body + b"\r\n--b--\r\n")
        if self._is(answer, 200):
            stored = {item["00081155"]["Value"][0] for item in answer.json()["00081199"]["Value"]}
            self._expect(stored == instances.keys(), "an upload was answered for in part")
            self.promises.stored |= stored
        self._over.wait(PAUSE)

    def _is(self, answer: Answer, wanted: int) -> bool:
        if answer.status not in (wanted, BUSY):
            self._expect(False, f"{answer.status} instead of {wanted}: {answer.body[:200]!r}")
        return answer.status == wanted

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.promises.surprises.append(otherwise)

    def shown(self) -> Iterator[dict[str, Any]]:
        """Every share as its sender sees it, newest first."""
        after = ""
        while after is not None:
            answer = _api(self._server, "GET", f"/api/v1/shares?limit=200{after}", self._sender)
            assert answer.status == 200, answer.body
            page = answer.json()
            yield from page["shares"]
            after = page["next"] and f"&after={page['next']}"


def look(server: Keyhole, visit: Opened, number: int) -> Answer:
    """Frame *number* as *visit* sees it."""
    below = f"studies/{dataset.PRIOR}/series/{dataset.PRIOR}.1/instances/{dataset.PRIOR}.1.{number}/frames/1"
    return server.get(f"{visit.below}dicom-web/{below}", {**visit.as_bearer, "Accept": _FRAME})


def fetch(server: Keyhole, reader: str, uid: str) -> Answer:
    """The uploaded instance *uid* as the API key *reader* sees it."""
    below = f"studies/{_study(uid)}/series/{_study(uid)}.1/instances/{uid}"
    return server.get(f"/dicom-web/{below}", {**_bearer(reader), "Accept": _PARTS.partition("; boundary")[0]})


def _study(uid: str) -> str:
    return uid.rpartition(".1.")[0]


def _uploads(number: int) -> Iterator[tuple[str, bytes]]:
    """The files of a new study with *number* instances, by instance."""
    study = dataset.Study(generate_uid()[:50].rstrip("."), dataset.CLARA, "an upload")
    for made in dataset.ct(study, f"{study.uid}.1", slices=number, size=SIZE):
        file = BytesIO()
        made.save_as(file, enforce_file_format=True)
        yield str(made.SOPInstanceUID), file.getvalue()


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _api(server: Keyhole, method: str, target: str, key: dict[str, str], content: Any = None) -> Answer:
    headers = {**key, "Content-Type": "application/json"}
    body = None if content is None else json.dumps(content).encode()
    return server.ask(method, target, headers, body, port=server.staff_port)
