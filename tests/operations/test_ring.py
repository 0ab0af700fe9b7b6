"""The key ring is renewed while links go on to open."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from keyhole.gateway import keys_file
from keyhole.gateway.ring_file import RingFile
from keyhole.operations.ring import keys_of
from keyhole.sharing.link import KeyRing
from tests.cli.transcript import Result, Run
from tests.operations.conftest import STUDY, node
from tests.servers.keyhole import Keyhole, keyhole, share_id
from tests.servers.process import wait_until


def states(here: Run) -> list[tuple[str, int]]:
    rows = [json.loads(line) for line in here(["keys", "list", "--json"], "").out.splitlines()]
    return [(row["state"], row["links"]) for row in rows]


def settled(data: Path) -> None:
    """As if the ring had been changed some time ago."""
    before = time.time() - 60
    os.utime(data / keys_file.NAME, (before, before))


def shared(here: Run) -> str:
    return here(["share", STUDY, "--for", "7d"], "").out.strip()


def test_a_rotation_gives_new_links_another_key_and_shows_old_ones_again(environment: Path, here: Run) -> None:
    old = shared(here)
    new_key = here(["keys", "rotate"], "").out.strip()
    assert keys_file.load(environment).current == new_key
    assert states(here) == [("former", 1), ("current", 0)]
    shared(here)
    assert states(here) == [("former", 1), ("current", 1)]
    assert old in here(["show", share_id(old), "--link"], "").out
    assert here(["trail", "--verify"], "").status == 0


def test_only_keys_that_no_live_link_needs_are_pruned(environment: Path, here: Run) -> None:
    old = shared(here)
    here(["keys", "rotate"], "")
    settled(environment)
    assert here(["keys", "prune", "--yes"], "").out == ""
    here(["revoke", share_id(old)], "")
    first = keys_file.load(environment).former
    assert here(["keys", "prune"], "").out.split() == list(first)
    assert keys_file.load(environment).former == first
    assert here(["keys", "prune", "--yes"], "").out.split() == list(first)
    assert states(here) == [("retired", 0), ("current", 0)]


def test_the_trail_verifies_without_the_keys_that_were_pruned(environment: Path, here: Run) -> None:
    here(["revoke", share_id(shared(here))], "")
    here(["keys", "rotate"], "")
    settled(environment)
    assert here(["keys", "prune", "--yes"], "").status == 0
    assert here(["trail", "--verify"], "").status == 0
    told = [json.loads(line) for line in here(["trail", "--json"], "").out.splitlines()]
    assert [row["detail"]["change"] for row in told if row["event"] == "ring-changed"] == ["rotated", "pruned"]


def test_a_ring_that_has_only_just_changed_is_not_pruned(environment: Path, here: Run) -> None:
    here(["keys", "rotate"], "")
    refused = here(["keys", "prune", "--yes"], "")
    assert (refused.status, refused.out) == (2, "")
    assert "only just changed" in refused.err


def test_a_prepared_key_is_used_by_the_next_rotation(environment: Path, here: Run) -> None:
    key = here(["keys", "prepare"], "").out.strip()
    assert states(here) == [("current", 0), ("prepared", 0)]
    settled(environment)
    assert here(["keys", "prune", "--yes"], "").out == ""
    assert here(["keys", "rotate"], "").out.strip() == key
    assert states(here) == [("former", 0), ("current", 0)]


def test_links_whose_key_is_not_in_the_ring_are_told(environment: Path, here: Run) -> None:
    link = shared(here)
    keys_file.put(environment, KeyRing.new())
    listed = here(["keys", "list"], "")
    assert "missing" in listed.out
    assert "1 live link cannot be opened here" in listed.err
    shown = here(["show", share_id(link), "--link"], "")
    assert shown == Result(2, shown.out, shown.err)
    assert "make a new link" in shown.err


def test_a_ring_lists_its_keys_in_the_order_of_their_lives() -> None:
    ring = KeyRing.new().rotated().rotated().with_new_key()
    ring = ring.without({ring.former[0]})
    found = keys_of(ring, {ring.former[0]: 2, "elsewhere": 1})
    assert [(key.state, key.links) for key in found] == [
        ("retired", 0),
        ("former", 2),
        ("current", 0),
        ("prepared", 0),
        ("missing", 1),
    ]


class TestAFollowedFile:
    def test_is_read_again_within_a_second(self, tmp_path: Path) -> None:
        clock = [0.0]
        followed = RingFile(tmp_path, lambda: clock[0])
        first = followed.current
        keys_file.change(tmp_path, KeyRing.rotated)
        assert followed.current in (first, keys_file.load(tmp_path).current)
        clock[0] += 1
        assert followed.current == keys_file.load(tmp_path).current != first
        assert followed.derive("link", key_id=first) == keys_file.load(tmp_path).derive("link", key_id=first)

    @pytest.mark.parametrize("content", ["", "{}", None], ids=["empty", "no ring", "gone"])
    def test_that_is_spoilt_changes_nothing(self, tmp_path: Path, content: str | None) -> None:
        clock = [0.0]
        followed = RingFile(tmp_path, lambda: clock[0])
        ring = followed.ring()
        path = tmp_path / keys_file.NAME
        path.unlink() if content is None else path.write_text(content)
        clock[0] += 1
        assert followed.ring() == ring
        assert path.exists() is (content is not None), "a ring that is gone is not made anew"
        keys_file.put(tmp_path, ring.rotated())
        clock[0] += 1
        assert followed.ring().former == (ring.current,)

    def test_keeps_its_mode_and_what_fails_changes_nothing(self, tmp_path: Path) -> None:
        ring = keys_file.load(tmp_path)

        def fails(_: KeyRing) -> KeyRing:
            raise ValueError("no")

        with pytest.raises(ValueError):
            keys_file.change(tmp_path, fails)
        assert keys_file.load(tmp_path) == ring
        keys_file.change(tmp_path, KeyRing.rotated)
        assert (tmp_path / keys_file.NAME).stat().st_mode & 0o777 == 0o600
        assert [path.name for path in tmp_path.iterdir()] == [keys_file.NAME]


def links_of(server: Keyhole, key: str) -> int:
    rows = [json.loads(line) for line in server.run("keys", "list", "--json").stdout.splitlines()]
    return sum(row["links"] for row in rows if row["id"] == key)


def makes_links_with(server: Keyhole, key: str, token: str) -> bool:
    """Whether the running server, asked by a program, derives new links from *key*."""
    before = links_of(server, key)
    body = json.dumps({"studies": [STUDY], "for": "7d"}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = server.ask("POST", "/api/v1/shares", headers, body, port=server.staff_port)
    assert answer.status == 201, answer.body
    server.secrets.add(answer.json()["link"].partition("#")[2])
    return links_of(server, key) == before + 1


@pytest.mark.e2e
@pytest.mark.parametrize("workers", [1, 2])
def test_running_workers_follow_a_rotation_and_links_go_on_to_open(
    tmp_path: Path, archive: Mapping[str, str], workers: int
) -> None:
    with keyhole(tmp_path, archive, workers=workers) as server:
        old = server.share(STUDY)
        visit = server.open(old)
        key = server.run("keys", "rotate").stdout.strip()
        new = server.share(STUDY)
        wait_until(lambda: server.try_open(new).status == 201, 10, "the new link does not open")
        server.open(old)
        assert server.get(f"{visit.below}dicom-web/studies", visit.as_cookie).status == 200
        token = server.key("ring", "sharer")
        wait_until(lambda: makes_links_with(server, key, token), 20, "the servers do not use the new key")
        server.verify_trail()


@pytest.mark.e2e
def test_links_are_made_with_a_key_and_pruned_keys_are_gone_while_serving(
    tmp_path: Path, archive: Mapping[str, str]
) -> None:
    with keyhole(tmp_path, archive) as server:
        server.revoke(server.share(STUDY))
        server.run("keys", "rotate")
        settled(server.data)
        server.run("keys", "prune", "--yes")
        link = server.share(STUDY)
        wait_until(lambda: server.try_open(link).status == 201, 10, "the link does not open")
        server.verify_trail()


@pytest.mark.e2e
def test_a_second_node_with_a_copied_ring_opens_the_first_ones_links(
    tmp_path: Path, archive: Mapping[str, str], postgresql_url: str
) -> None:
    with node(tmp_path / "one", archive, postgresql_url) as one:
        link = one.share(STUDY)
        keys = (one.data / "keys.json").read_text()
        with node(tmp_path / "two", archive, postgresql_url, keys) as two:
            visit = two.open(link)
            assert two.get(f"{visit.below}dicom-web/studies", visit.as_cookie).status == 200
            elsewhere = two.share(STUDY)
            assert one.try_open(elsewhere.replace(two.public_url, one.public_url)).status == 201
            two.verify_trail()


@pytest.mark.e2e
def test_a_prepared_key_that_every_node_has_is_rotated_in_without_a_gap(
    tmp_path: Path, archive: Mapping[str, str], postgresql_url: str
) -> None:
    with node(tmp_path / "one", archive, postgresql_url) as one:
        one.run("keys", "prepare")
        keys = (one.data / "keys.json").read_text()
        with node(tmp_path / "two", archive, postgresql_url, keys) as two:
            one.run("keys", "rotate")
            link = one.share(STUDY)
            two.open(link)


@pytest.mark.e2e
def test_a_second_node_with_another_ring_says_what_is_wrong(
    tmp_path: Path, archive: Mapping[str, str], postgresql_url: str
) -> None:
    with node(tmp_path / "one", archive, postgresql_url) as one:
        link = one.share(STUDY)
        with node(tmp_path / "two", archive, postgresql_url, KeyRing.new().dump()) as two:
            assert two.try_open(link).status in (403, 404)
            assert "cannot be opened here" in two.run("keys", "list").stderr
            assert "copy keys.json from the node that made them" in two.process.said()
            one.open(link)
