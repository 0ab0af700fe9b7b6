"""Heads outside the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.store.chain import Head
from keyhole.store.heads import Heads, Outside


def head(seq: int, of: bytes = b"a") -> Head:
    return Head(seq, of * 32)


def advance(heads: Heads, start: Head, end: Head) -> None:
    with heads.opened():
        heads.advance(start, end)


def test_nothing_is_known_before_the_first_row(tmp_path: Path) -> None:
    assert Heads(tmp_path).read() == Outside()
    with Heads(tmp_path).opened():
        pass
    assert Heads(tmp_path).read() == Outside()


def test_the_last_head_is_overwritten_in_place(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    advance(heads, Head(), head(1))
    size = (tmp_path / "trail.head").stat().st_size
    advance(heads, head(1), head(10**12))
    assert heads.read().last == head(10**12)
    assert (tmp_path / "trail.head").stat().st_size == size


def test_the_files_are_their_owner_s(tmp_path: Path) -> None:
    advance(Heads(tmp_path), Head(), head(1))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_the_history_has_the_first_head_and_one_every_1000_rows(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    for seq in range(0, 2500, 100):
        advance(heads, head(seq), head(seq + 100))
    assert [seen.seq for seen in heads.read().history] == [100, 1100, 2100]


def test_a_group_without_rows_writes_nothing(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    advance(heads, head(3), head(3))
    assert heads.read() == Outside()


def test_another_process_that_is_further_is_not_set_back(tmp_path: Path) -> None:
    advance(Heads(tmp_path), head(5), head(9))
    advance(Heads(tmp_path), head(3), head(5))
    assert Heads(tmp_path).read().last == head(9)


def test_a_head_that_the_database_has_lost_goes_into_the_history(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    advance(heads, head(0), head(5))
    advance(heads, head(5), head(9))
    advance(heads, head(5), head(7, b"b"))  # rows 6 to 9 are gone, others come in their place
    advance(heads, head(7, b"b"), head(12, b"b"))
    known = heads.read()
    assert known.last == head(12, b"b")
    assert head(9) in known.history


def test_another_head_with_the_same_number_goes_into_the_history(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    advance(heads, head(0), head(3))
    advance(heads, head(3), head(5))
    advance(heads, head(5, b"b"), head(6, b"b"))
    assert head(5) in heads.read().history


def test_torn_lines_of_the_history_are_no_heads_and_a_torn_head_is_damage(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    advance(heads, head(0), head(3))
    with (tmp_path / "trail.heads").open("ab") as history:
        history.write(b"0000")
    (tmp_path / "trail.head").write_bytes(b"0000")
    assert heads.read() == Outside(None, (head(3),), damaged=True)


def test_no_row_is_committed_when_heads_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError), Heads(tmp_path / "missing").opened():
        pytest.fail("opened")


def test_a_head_that_could_not_be_written_is_owed(tmp_path: Path) -> None:
    folder = tmp_path / "heads"
    folder.mkdir()
    heads = Heads(folder)
    with heads.opened():
        folder.rename(tmp_path / "away")
        heads.advance(Head(), head(4))
    with pytest.raises(OSError), heads.opened():
        pytest.fail("opened")
    (tmp_path / "away").rename(folder)
    with heads.opened():
        pass
    assert heads.read().last == head(4)
