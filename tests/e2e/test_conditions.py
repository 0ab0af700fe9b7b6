"""What a link asks, on two nodes over one PostgreSQL: no race and no flood gives more attempts than there are."""

from __future__ import annotations

import collections
import itertools
import json
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import dataset
from tests.postgres import Cluster
from tests.servers.keyhole import Answer, Keyhole, at_rest, keyhole, share_id
from tests.servers.mail import Postbox, mail_server

PASSCODE = "correct horse"


@dataclass
class Nodes:
    """Two Keyholes with one key ring and one database, and the mail they send."""

    nodes: tuple[Keyhole, Keyhole]
    postbox: Postbox

    @property
    def first(self) -> Keyhole:
        return self.nodes[0]

    def share(self, *words: str, given: str = PASSCODE) -> str:
        link = self.first.run("share", dataset.STUDY, "--for", "1d", *words, given=f"{given}\n").stdout.strip()
        for node in self.nodes:
            node.secrets |= {link.partition("#")[2], given}
        return link

    def post(self, node: int, link: str, step: str, address: str = "198.51.100.1", **sent: Any) -> Answer:
        """What somebody at *address* gets, as the proxy in front tells it."""
        headers = {"Content-Type": "application/json", "X-Forwarded-For": address}
        body = json.dumps({"secret": link.partition("#")[2], **sent}).encode()
        return self.nodes[node % 2].ask("POST", f"/s/{share_id(link)}{step}", headers, body)

    def crowd(self, size: int, what: Callable[[int], Answer], threads: int = 40) -> list[Answer]:
        """*size* requests as much at once as *threads* can."""
        together = threading.Barrier(threads)

        def one(number: int) -> Answer:
            if number < threads:
                together.wait()
            return what(number)

        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, range(size)))

    def rows(self, link: str) -> collections.Counter[str]:
        rows = self.first.trail("--share", share_id(link))
        return collections.Counter(f"{row['event']} {row['reason'] or ''}".strip() for row in rows)


def reasons(answers: Sequence[Answer]) -> collections.Counter[str]:
    return collections.Counter(answer.json().get("reason", "opened") for answer in answers)


def address(number: int) -> str:
    return f"2001:db8:{number:x}::1"


@pytest.fixture(scope="module")
def nodes(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory, studies: Path) -> Iterator[Nodes]:
    postbox, folder = Postbox(), tmp_path_factory.mktemp("nodes")
    name = f"keyhole_{secrets.token_hex(6)}"
    postgres.run(f"CREATE DATABASE {name} OWNER keyhole")
    archive = {"KEYHOLE_ARCHIVE": str(studies)}
    with mail_server(postbox) as port:
        more = {
            "KEYHOLE_TRUSTED_PROXIES": "127.0.0.1",
            "KEYHOLE_SMTP_HOST": "127.0.0.1",
            "KEYHOLE_SMTP_PORT": str(port),
            "KEYHOLE_SMTP_SECURITY": "none",
            "KEYHOLE_MAIL_FROM": "images@hospital.example",
            "KEYHOLE_NOTIFY": "anna@hospital.example",
        }
        with keyhole(folder / "one", archive, database=postgres.url(name), **more) as one:
            other = at_rest(folder / "two", archive, database=postgres.url(name), **more)
            shutil.copy(one.data / "keys.json", other.data / "keys.json")
            with other.process:
                yield Nodes((one, other), postbox)
            assert not other.leaks()
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


def test_parallel_guesses_on_two_nodes_are_as_many_attempts_as_there_are(nodes: Nodes) -> None:
    link = nodes.share("--passcode", "-")

    def guess(number: int) -> Answer:
        return nodes.post(number, link, "/visits", address(number), passcode=f"guess {number:06}")

    told = reasons(nodes.crowd(200, guess))
    assert told["wrong-answer"] == 5
    assert sum(told[name] for name in ("wrong-answer", "locked", "too-many")) == 200
    for node in range(2):
        answer = nodes.post(node, link, "/visits", address(1000 + node), passcode=PASSCODE)
        assert (answer.status, answer.json()["reason"]) == (410, "locked")
    rows = nodes.rows(link)
    assert (rows["refusal wrong-answer"], rows["share-locked"], rows["visit-begun"]) == (5, 1, 0)
    nodes.first.verify_trail()


def test_a_right_answer_among_parallel_guesses_gives_none_of_them_back(nodes: Nodes) -> None:
    link = nodes.share("--passcode", "-")

    def guess(number: int) -> Answer:
        passcode = PASSCODE if number % 4 == 0 else f"guess {number:06}"
        return nodes.post(number, link, "/visits", address(number), passcode=passcode)

    told = reasons(nodes.crowd(80, guess))
    assert told["wrong-answer"] <= 5
    assert nodes.rows(link)["visit-begun"] == told["opened"]


def test_a_limited_link_opens_as_often_as_it_may_with_the_answer(nodes: Nodes) -> None:
    link = nodes.share("--passcode", "-", "--visits", "1")
    told = reasons(
        nodes.crowd(30, lambda number: nodes.post(number, link, "/visits", address(number), passcode=PASSCODE), 30)
    )
    assert told["opened"] == 1


def test_strangers_with_the_id_alone_lock_nobody_out(nodes: Nodes) -> None:
    link, other = nodes.share("--passcode", "-"), nodes.share("--passcode", "-")
    stranger = f"{link.partition('#')[0]}#{other.partition('#')[2]}"

    def tries(number: int) -> Answer:
        step = ("", "/visits", "/codes")[number % 3]
        return nodes.post(number, stranger, step, address(number), passcode=f"guess {number:06}", mail_code="123456")

    assert {answer.status for answer in nodes.crowd(120, tries)} == {404}
    assert nodes.post(1, link, "", address(1)).json()["tries_left"] == 5
    assert nodes.post(1, link, "/visits", address(1), passcode=PASSCODE).status == 201


def test_a_thousand_addresses_have_no_more_tries_than_one(nodes: Nodes) -> None:
    link = nodes.share("--passcode", "-")

    def guess(number: int) -> Answer:
        return nodes.post(number, link, "/visits", address(number), passcode=f"guess {number:06}")

    told = reasons(nodes.crowd(1000, guess))
    assert told["wrong-answer"] == 5
    assert told.keys() <= {"wrong-answer", "too-many", "locked"}


def test_one_address_is_slowed_on_both_nodes_together(nodes: Nodes) -> None:
    link = nodes.share("--passcode", "-")
    where = "203.0.113.9"
    answers = [nodes.post(number, link, "/visits", where, passcode=PASSCODE) for number in range(40)]
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert all(1 <= int(answer.headers["retry-after"]) <= 6 for answer in refused)
    assert nodes.post(0, link, "/visits", "203.0.113.10", passcode=PASSCODE).status == 201


def test_a_mailed_code_opens_once_however_many_try_on_two_nodes(nodes: Nodes) -> None:
    link = nodes.share("--mail-code", "--mail-to", "maria@example.org", "--visits", "5")
    asked = nodes.post(0, link, "/codes", address(1))
    assert asked.status == 202
    digits = mailed(nodes.postbox, "maria@example.org")
    sent = {"mail_code": digits, "ticket": asked.json()["ticket"]}
    nodes.first.secrets.add(sent["ticket"])
    told = reasons(nodes.crowd(4, lambda number: nodes.post(number, link, "/visits", address(number), **sent), 4))
    assert told == {"opened": 1, "wrong-answer": 3}


def test_the_sender_is_told_of_the_lock_by_mail(nodes: Nodes) -> None:
    link = nodes.share("--passcode", "-", "--notify", "peter@hospital.example")
    for number in range(5):
        nodes.post(number, link, "/visits", address(number), passcode="wrong horse")
    [mail] = wait_for(lambda: nodes.postbox.to_address("peter@hospital.example"))
    assert "locked" in str(mail["Subject"])


def mailed(postbox: Postbox, to: str) -> str:
    """The six digits in the newest mail to *to*."""
    mails = wait_for(lambda: postbox.to_address(to))
    body = mails[-1].get_body(("plain",))
    assert body is not None
    found = re.search(r"\b(\d{3}) ?(\d{3})\b", body.get_content())
    assert found is not None
    return found[1] + found[2]


def wait_for(what: Callable[[], list[Any]]) -> list[Any]:
    """What there is once there is some; mail leaves within seconds."""
    waiting = threading.Event()
    for _ in itertools.repeat(None, 300):
        found = what()
        if found:
            return found
        waiting.wait(0.1)
    raise AssertionError("no mail came")
