"""The file of the key ring: made once, whole, for its owner alone."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keyhole.errors import Misconfigured
from keyhole.gateway import keys_file
from keyhole.gateway.keys_file import NAME, load


def test_the_first_call_makes_a_ring_and_the_next_reads_it(tmp_path: Path) -> None:
    assert not keys_file.exists(tmp_path)
    made = load(tmp_path)
    assert keys_file.exists(tmp_path)
    assert load(tmp_path) == made
    assert os.listdir(tmp_path) == [NAME]  # noqa: PTH208 - nothing else is left behind


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_of_many_at_once_all_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        rings = list(pool.map(load, [tmp_path] * 64))
    assert all(ring == rings[0] for ring in rings)
    assert load(tmp_path) == rings[0]
    assert os.listdir(tmp_path) == [NAME]  # noqa: PTH208 - the same


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_one_that_others_can_reach_is_refused_with_what_to_do(mode: int, tmp_path: Path) -> None:
    load(tmp_path)
    (tmp_path / NAME).chmod(mode)
    with pytest.raises(Misconfigured, match="chmod 600"):
        load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"current": "a", "keys": {}}',
        '{"current": "a", "keys": {"a": "c2hvcnQ="}}',
        "\xff",
    ],
)
def test_one_that_is_none_is_refused_and_kept_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(Misconfigured, match="backup"):
        load(tmp_path)
    assert path.read_bytes() == text.encode("latin-1")


def test_no_error_holds_a_key(tmp_path: Path) -> None:
    load(tmp_path)
    path = tmp_path / NAME
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "current": "gone"}))
    with pytest.raises(Misconfigured) as refused:
        load(tmp_path)
    assert not [key for key in content["keys"].values() if key in str(refused.value)]


def test_a_folder_that_is_not_there_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    load(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="file"):
        load(tmp_path / "file")


def test_a_name_that_leads_nowhere_is_a_ring_that_was_lost(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "lost")
    assert keys_file.exists(tmp_path)
    with pytest.raises(Misconfigured):
        load(tmp_path)
