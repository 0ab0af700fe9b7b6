"""Whoever has a copy of the key file makes links with it, until what the page says has been done.

That page is docs/how-to/stolen.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyhole.access.resource import Resource
from keyhole.access.share import Share, ShareKind
from keyhole.gateway import keys_file
from keyhole.sharing import link
from keyhole.sharing.link import KeyRing
from tests.operations.conftest import STUDY
from tests.servers.keyhole import Keyhole, keyhole, share_id

pytestmark = pytest.mark.e2e


@pytest.fixture
def server(tmp_path: Path, archive: Mapping[str, str]) -> Iterator[Keyhole]:
    with keyhole(tmp_path, archive) as running:
        yield running


def forged(server: Keyhole, ring: KeyRing, share: str) -> list[str]:
    """Every link of *share* that a thief of *ring* can make: the next generations as well."""
    now = datetime.now(UTC)
    made = [
        Share(
            id=share,
            archive="main",
            resources=(Resource.of("main", STUDY),),
            kind=ShareKind.VIEW,
            creator="user:thief",
            created_at=now,
            expires_at=now + timedelta(days=1),
            key_id=key,
            generation=generation,
        )
        for key in ring.keys
        for generation in range(1, 6)
    ]
    return [link.link(server.public_url, each, ring) for each in made]


def opened(server: Keyhole, links: list[str]) -> int:
    """How many of *links* open."""
    return sum(server.try_open(each).status == 201 for each in links)


def test_a_thief_with_an_id_makes_the_link(server: Keyhole) -> None:
    given = server.share(STUDY)
    stolen = keys_file.load(server.data)
    assert opened(server, forged(server, stolen, share_id(given))) == 1
    assert [row["event"] for row in server.trail()].count("visit-begun") == 1


def test_new_links_alone_keep_no_thief_out(server: Keyhole) -> None:
    given = server.share(STUDY)
    stolen = keys_file.load(server.data)
    server.run("renew", share_id(given), "--new-link")
    assert opened(server, forged(server, stolen, share_id(given))) == 1


@pytest.mark.parametrize("prepared", [False, True], ids=["", "with a prepared key"])
def test_after_a_rotation_and_new_links_the_stolen_keys_open_nothing(server: Keyhole, *, prepared: bool) -> None:
    given = server.share(STUDY)
    if prepared:
        server.run("keys", "prepare")
    stolen = keys_file.load(server.data)
    for _ in range(2 if prepared else 1):  # a key that was only prepared was stolen, too
        server.run("keys", "rotate")
    new = server.run("renew", share_id(given), "--new-link").stdout.strip()
    server.secrets.add(new.partition("#")[2])
    assert opened(server, forged(server, stolen, share_id(given))) == 0
    assert server.try_open(given).status == 404
    server.open(new)
    server.open(server.share(STUDY))
