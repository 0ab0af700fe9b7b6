"""The way that docs/how-to/workers.md gives: a second node gets the keys, and a new key comes to both without a gap."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.operations.conftest import STUDY, node
from tests.servers.keyhole import Keyhole, share_id
from tests.servers.process import wait_until

pytestmark = pytest.mark.e2e


def given(one: Keyhole, folder: Path) -> str:
    """What ``keyhole backup-keys`` on the first node writes."""
    file = folder / "keys.backup"
    one.run("backup-keys", str(file), "--overwrite")
    return file.read_text()


def installed(keys: str, two: Keyhole) -> None:
    """As ``install -m 600`` does."""
    draft = two.data / "draft"
    draft.touch(mode=0o600)
    draft.write_text(keys)
    shutil.move(draft, two.data / "keys.json")


def states(server: Keyhole) -> dict[str, str]:
    rows = map(json.loads, server.run("keys", "list", "--json").stdout.splitlines())
    return {row["id"]: row["state"] for row in rows}


def opens(server: Keyhole, link: str) -> None:
    """The link opens there, at the latest once the ring's file has been read again."""
    wait_until(lambda: server.try_open(link).status == 201, 10, f"{share_id(link)} does not open")


def test_a_second_node_gets_the_keys_and_follows_their_renewal_without_a_gap(
    tmp_path: Path, archive: Mapping[str, str], postgresql_url: str
) -> None:
    with node(tmp_path / "one", archive, postgresql_url) as one:
        first = one.share(STUDY)
        with node(tmp_path / "two", archive, postgresql_url, given(one, tmp_path)) as two:
            assert "missing" not in states(two).values()
            two.open(first)
            key = one.run("keys", "prepare").stdout.strip()
            installed(given(one, tmp_path), two)
            assert states(two)[key] == "prepared"
            one.run("keys", "rotate")
            second = one.share(STUDY)
            opens(two, second)
            installed(given(one, tmp_path), two)
            assert states(two) == states(one)
            third = two.share(STUDY)
            for link in (first, second, third):
                opens(one, link)
                opens(two, link)
            two.verify_trail()
