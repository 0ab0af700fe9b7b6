"""Links that ask something, attacked on two nodes over one PostgreSQL by whoever holds a part of what it takes.

A stranger with an id, a thief of the database, a sender who changes links while they are opened, a sender who floods.
"""

from __future__ import annotations

import collections
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e import dataset
from tests.e2e.test_conditions import PASSCODE, Nodes, address, mailed, reasons
from tests.e2e.test_paper import printed
from tests.postgres import Cluster
from tests.servers.keyhole import Answer, at_rest, keyhole, share_id
from tests.servers.mail import Postbox, mail_server

pytestmark = pytest.mark.e2e

BORN = "19700203"
JSON = {"Content-Type": "application/json"}


@dataclass
class Site:
    """Two nodes, what they keep, and a sender's key."""

    nodes: Nodes
    database: str
    key: str = field(repr=False)

    def staff(self, node: int, method: str, path: str, **sent: Any) -> Answer:
        """What the sender's program gets."""
        server = self.nodes.nodes[node % 2]
        headers = {**JSON, "Authorization": f"Bearer {self.key}"}
        body = json.dumps(sent).encode() if sent else None
        return server.ask(method, f"/api/v1/shares{path}", headers, body, port=server.staff_port)

    def share(self, **wanted: Any) -> str:
        """A new link; it asks for the passcode, and for what is wanted besides."""
        answer = self.staff(0, "POST", "", **{"studies": [dataset.STUDY], "for": "1d", "passcode": PASSCODE, **wanted})
        assert answer.status == 201, answer.body
        link: str = answer.json()["link"]
        for node in self.nodes.nodes:
            node.secrets |= {link.partition("#")[2], PASSCODE}
        return link

    def kept(self) -> set[str]:
        """Every value in every table, bytes by their digits too."""
        found: set[str] = set()
        with psycopg.connect(self.database) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                rows = connection.execute(psycopg.sql.SQL("SELECT * FROM {}").format(psycopg.sql.Identifier(table)))
                for value in (value for row in rows for value in row):
                    found |= {value.hex(), value.decode("latin-1")} if isinstance(value, bytes) else {str(value)}
        return found


@pytest.fixture(scope="module")
def site(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory, studies: Path) -> Iterator[Site]:
    postbox, folder = Postbox(), tmp_path_factory.mktemp("attacked")
    name = f"keyhole_{secrets.token_hex(6)}"
    postgres.run(f"CREATE DATABASE {name} OWNER keyhole")
    archive, database = {"KEYHOLE_ARCHIVE": str(studies)}, postgres.url(name)
    with mail_server(postbox) as port:
        more = {
            "KEYHOLE_TRUSTED_PROXIES": "127.0.0.1",
            "KEYHOLE_SMTP_HOST": "127.0.0.1",
            "KEYHOLE_SMTP_PORT": str(port),
            "KEYHOLE_SMTP_SECURITY": "none",
            "KEYHOLE_MAIL_FROM": "images@hospital.example",
        }
        with keyhole(folder / "one", archive, workers=2, database=database, **more) as one:
            other = at_rest(folder / "two", archive, database=database, **more)
            shutil.copy(one.data / "keys.json", other.data / "keys.json")
            with other.process:
                yield Site(Nodes((one, other), postbox), database, one.key("portal", "sharer"))
            assert not other.leaks()
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


def told(answer: Answer) -> tuple[int, Mapping[str, str], bytes]:
    return answer.status, {name: value for name, value in answer.headers.items() if name != "date"}, answer.body


def test_a_stranger_gets_the_same_bytes_for_every_id_on_every_node(site: Site) -> None:
    """Whether it exists, what it asks, and what has become of it."""
    nodes = site.nodes
    plain, asks, gone = nodes.share(), site.share(birth_date=True), site.share()
    assert site.staff(0, "DELETE", f"/{share_id(gone)}").status == 204
    none, secret = f"{nodes.first.public_url}/s/{'a' * 16}#x", site.share().partition("#")[2]
    for step in ("", "/codes", "/visits"):
        for wrong in (secret, "a" * 35, ""):
            answers = [
                nodes.post(node, f"{link.partition('#')[0]}#{wrong}", step, address(1), passcode=PASSCODE)
                for link in (plain, asks, gone, none)
                for node in range(2)
            ]
            assert answers[0].status == 404
            assert all(told(answer) == told(answers[0]) for answer in answers), step


def test_a_stolen_database_answers_nothing(site: Site, tmp_path: Path) -> None:
    nodes = site.nodes
    to = "thief@example.org"
    link = site.share(birth_date=True, mail_code=True, mail_to=to, paper=True)
    letter = printed(nodes.first, link, tmp_path)
    asked = nodes.post(0, link, "/codes", address(1)).json()
    code = mailed(nodes.postbox, to)
    right = {"passcode": PASSCODE, "birth_date": "1970-02-03", "mail_code": code, "ticket": asked["ticket"]}
    nodes.first.secrets.add(asked["ticket"])
    assert nodes.post(1, link, "/visits", address(1), **{**right, "passcode": "wrong horse"}).status == 403
    kept = site.kept()
    assert share_id(link) in kept
    assert code not in kept
    whole = "\n".join(kept)
    answers = (PASSCODE, "wrong horse", BORN, "1970-02-03", asked["ticket"], letter.code, letter.code.replace("-", ""))
    for secret in (*answers, link.partition("#")[2], link.partition("#")[2][:32]):
        assert secret not in whole
        assert secret.encode().hex() not in whole
    assert nodes.post(0, link, "/visits", address(1), **right).status == 201


def test_openings_that_race_with_their_sender_end_with_the_withdrawal(site: Site) -> None:
    """Renewed, guessed at, opened and withdrawn at once: what was told is what happened, in one order."""
    nodes = site.nodes
    link = site.share(max_visits=30)

    def one(number: int) -> Answer:
        if number % 12 == 5:
            return site.staff(number, "PATCH", f"/{share_id(link)}", more_visits=1)
        if number == 50:
            return site.staff(number, "DELETE", f"/{share_id(link)}")
        passcode = "wrong horse" if number % 30 == 7 else PASSCODE
        return nodes.post(number, link, "/visits", address(number), passcode=passcode)

    answers = nodes.crowd(72, one, threads=12)
    opened = sum(answer.status == 201 for answer in answers)
    events = [row["event"] for row in nodes.first.trail("--share", share_id(link))]
    assert events.count("visit-begun") == opened
    assert events.count("share-withdrawn") == 1
    assert "visit-begun" not in events[events.index("share-withdrawn") :]
    for node in range(2):
        assert nodes.post(node, link, "/visits", address(99), passcode=PASSCODE).json()["reason"] == "withdrawn"
    nodes.first.verify_trail()


def test_a_link_that_is_made_anew_is_opened_by_one_of_both_at_any_moment(site: Site) -> None:
    nodes = site.nodes
    old = site.share()

    def one(number: int) -> Answer:
        if number == 20:
            return site.staff(number, "PATCH", f"/{share_id(old)}", new_link=True)
        return nodes.post(number, old, "/visits", address(number), passcode=PASSCODE)

    answers = nodes.crowd(40, one, threads=8)
    new = next(answer.json()["link"] for answer in answers if answer.status == 200)
    nodes.first.secrets.add(new.partition("#")[2])
    events = [row["event"] for row in nodes.first.trail("--share", share_id(old))]
    changed = events.index("share-changed")
    assert events[:changed].count("visit-begun") == sum(answer.status == 201 for answer in answers)
    assert "visit-begun" not in events[changed:]
    assert nodes.post(1, new, "/visits", address(99), passcode=PASSCODE).status == 201


def test_a_sender_who_floods_holds_no_recipient_up_for_good(site: Site) -> None:
    """Passcodes to hash and letters to set, from a program gone wrong, on the node that people ask."""
    nodes = site.nodes
    link = site.share(paper=True)

    def wanted(number: int) -> Answer:
        if number % 2:
            return site.staff(0, "GET", f"/{share_id(link)}/letter")
        return site.staff(0, "POST", "", studies=[dataset.STUDY], **{"for": "1d"}, passcode="generate")

    with ThreadPoolExecutor(20) as pool:
        flood = [pool.submit(wanted, number) for number in range(80)]
        opened = [nodes.post(0, link, "/visits", address(number), passcode=PASSCODE) for number in range(5)]
        told = collections.Counter(one.result().status for one in flood)
    assert reasons(opened) == {"opened": 5}
    assert set(told) == {200, 201}


def test_a_sender_sees_nothing_of_what_others_share_without_the_right_to(site: Site) -> None:
    nodes = site.nodes
    link, key = site.share(paper=True), nodes.first.key("looks", "reader")
    reader = Site(nodes, site.database, key)
    paths = [("GET", ""), *(("GET", f"/{part}") for part in ("link", "qr", "letter", "timeline", "visits", "mails"))]
    for method, part in (*paths, ("DELETE", "")):
        theirs = reader.staff(0, method, f"/{share_id(link)}{part}")
        nobodys = reader.staff(1, method, f"/{'a' * 16}{part}")
        assert (theirs.status, nobodys.status) == (404, 404), part
        assert theirs.body.replace(share_id(link).encode(), b"") == nobodys.body.replace(b"a" * 16, b"")
    asks = ({"new_link": True}, {"passcode": "generate"}, {"birth_date": True}, {"mail_to": "me@example.org"})
    for wanted in (*asks, {"notify": "me@example.org"}, {"for": "300d"}, {"paper": True}):
        assert reader.staff(0, "PATCH", f"/{share_id(link)}", **wanted).status == 404
    assert reader.staff(0, "POST", f"/{share_id(link)}/mails", to="me@example.org").status == 404
    assert nodes.post(0, link, "/visits", address(1), passcode=PASSCODE).status == 201
