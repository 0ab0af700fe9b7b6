"""What fits a terminal."""

from __future__ import annotations

import pytest

from tests.cli.transcript import Run

STUDY = "1.2.826.0.1.3680043.8.498.7245.1"


@pytest.mark.parametrize("columns", ["80", "100", "200"])
def test_ids_and_uids_stay_whole_in_the_list_of_shares(
    here: Run, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    link = here(["share", STUDY, "--for", "7d", "--recipient", "Dr Roe", "--note", "for Monday"], "").out
    monkeypatch.setenv("COLUMNS", columns)
    listed = here(["shares"], "").out
    assert link.partition("#")[0].rpartition("/")[2] in listed.split()
    assert STUDY in listed.split()
    assert "for Monday" in listed
    assert max(map(len, listed.splitlines())) <= int(columns)


@pytest.mark.parametrize("columns", ["80", "100", "200"])
def test_uids_and_names_stay_whole_in_the_list_of_studies(
    here: Run, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    listed = here(["studies"], "").out
    assert STUDY in listed.split()
    assert {"20250310", "DEMO^ALICE", "DEMO-0001"} <= set(listed.replace(",", "").split())
    assert max(map(len, listed.splitlines())) <= int(columns)


def test_the_id_of_a_key_stays_whole(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    here(["key", "create", "a name that is long " * 4, "--role", "sharer", "--may", "search,retrieve,render"], "")
    monkeypatch.setenv("COLUMNS", "80")
    listed = here(["key", "list"], "").out.splitlines()
    assert len(listed[1].split()[0]) == 16
    assert max(map(len, listed)) <= 80
