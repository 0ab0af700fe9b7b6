"""``keyhole trail`` after something happened: what was seen is told with its counts, and tampering is found."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.resource import Action
from keyhole.app import open_desk
from keyhole.settings import load_settings
from tests.cli.transcript import Run

STUDY, SHARE, VISIT = "1.2.3", "s" * 16, "v" * 16
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADDRESS = {"address": "192.0.2.7", "agent": "Firefox"}


def seen(event: Event, minutes: int, action: Action, **more: object) -> Record:
    known = {"study": STUDY, "share": SHARE, "visit": VISIT, "archive": "main", "subject": f"visit:{VISIT}"}
    return Record(at=NOON + timedelta(minutes=minutes), event=event, action=action, **(known | more))  # type: ignore[arg-type]


HAPPENED = (
    Record(at=NOON, event=Event.VISIT_BEGUN, subject=f"visit:{VISIT}", share=SHARE, visit=VISIT, personal=ADDRESS),
    seen(Event.SEARCH, 1, Action.SEARCH, study=None, personal=ADDRESS),
    seen(Event.ACCESS, 1, Action.RETRIEVE, personal=ADDRESS),
    seen(Event.ACCESS, 1, Action.RENDER, personal=ADDRESS),
    seen(Event.COUNT, 2, Action.RETRIEVE, images=100, bytes=50_000_000),
    seen(Event.COUNT, 9, Action.RENDER, images=20, bytes=1_500_000),
    seen(Event.REFUSAL, 9, Action.RETRIEVE, study="9.9", reason=Reason.NO_GRANT, times=3, personal=ADDRESS),
    Record(at=NOON, event=Event.REFUSAL, subject="anonymous", reason=Reason.WRONG_SECRET, personal=ADDRESS),
    seen(Event.ACCESS, 24 * 60, Action.RETRIEVE, personal=ADDRESS | {"agent": "\x1b[2Jx"}),
)


async def _append(records: Sequence[Record]) -> None:
    async with open_desk(load_settings(os.environ)) as desk:
        await desk.store.append(records)


@pytest.fixture
def happened(environment: Path) -> Path:
    asyncio.run(_append(HAPPENED))
    return environment


def test_who_saw_what_when_from_where_through_which_share_and_how_much(happened: Path, here: Run) -> None:
    lines = [" ".join(line.split()) for line in here(["trail"], "").out.splitlines()]
    assert lines[:-1] == [
        "WHEN (UTC) WHAT WHO WHICH MORE",
        f"2026-03-01 12:00 visit begun visit:{VISIT} from 192.0.2.7 share:{SHARE}",
        f"2026-03-01 12:01 searched visit:{VISIT} from 192.0.2.7 share:{SHARE}",
        f"2026-03-01 12:01 to 12:09 saw visit:{VISIT} from 192.0.2.7 share:{SHARE} 1.2.3 120 images, 51.5 MB",
        f"2026-03-01 12:09 refused: no-grant visit:{VISIT} from 192.0.2.7 share:{SHARE} 9.9 3 times",
        "2026-03-01 12:00 refused: wrong-secret anonymous from 192.0.2.7",
        f"2026-03-02 12:00 saw visit:{VISIT} from 192.0.2.7 share:{SHARE} 1.2.3",
    ]
    assert "trail read" in lines[-1]


def test_what_a_link_asks_was_answered_by_its_visits(environment: Path, here: Run) -> None:
    asks = {"conditions": "passcode birth-date"}
    made = Record(at=NOON, event=Event.SHARE_CREATED, subject="user:root", share=SHARE, detail=asks)
    begun = Record(at=NOON, event=Event.VISIT_BEGUN, subject=f"visit:{VISIT}", share=SHARE, visit=VISIT, detail=asks)
    asyncio.run(_append([made, begun]))
    lines = here(["trail"], "").out.splitlines()[1:3]
    assert [line.split("  ")[-1].strip() for line in lines] == [
        "asks passcode, birth-date",
        "answered passcode, birth-date",
    ]


def test_a_user_of_a_provider_is_told_by_name_as_long_as_it_is_kept(environment: Path, here: Run) -> None:
    given = Record(
        at=NOON,
        event=Event.PROFILE_GIVEN,
        subject="user:2f7c-anna",
        archive="main",
        detail={"through": "plugin:orthanc", "roles": "doctor"},
        personal={"name": "Anna \x1b[2J User"},
    )
    asyncio.run(_append([given]))
    line = " ".join(here(["trail"], "").out.splitlines()[1].split())
    assert line == (
        "2026-03-01 12:00 profile given user:2f7c-anna (Anna \N{REPLACEMENT CHARACTER}[2J User)"
        " roles doctor, through plugin:orthanc"
    )
    assert '"name": "Anna \\u001b[2J User"' in here(["trail", "--json"], "").out


def test_a_download_is_told_apart_from_looking_and_from_asking_how_long_it_is(environment: Path, here: Run) -> None:
    rows = (
        seen(Event.ACCESS, 0, Action.DOWNLOAD),
        seen(Event.ACCESS, 1, Action.RETRIEVE),
        seen(Event.EXPORT, 2, Action.DOWNLOAD),
        seen(Event.COUNT, 3, Action.DOWNLOAD, images=7, bytes=3_000_000),
        seen(Event.COUNT, 4, Action.RETRIEVE, images=2, bytes=1_000_000),
    )
    asyncio.run(_append(rows))
    lines = [" ".join(line.split()) for line in here(["trail"], "").out.splitlines()]
    assert lines[1:-1] == [
        f"2026-03-01 12:00 to 12:04 saw visit:{VISIT} share:{SHARE} 1.2.3 2 images, 1.0 MB",
        f"2026-03-01 12:02 to 12:03 downloaded visit:{VISIT} share:{SHARE} 1.2.3 7 images, 3.0 MB",
    ]


def test_refusals_are_listed_with_their_reasons(happened: Path, here: Run) -> None:
    out = here(["trail", "--refusals"], "").out
    assert [reason for reason in ("no-grant", "wrong-secret") if reason in out] == ["no-grant", "wrong-secret"]
    assert "saw" not in out


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        (["--study", STUDY], 5),
        (["--share", SHARE], 8),
        (["--since", "2026-03-02", "--share", SHARE], 1),
        (["--until", "2026-03-01"], 8),
        (["--since", "2026-03-01T12:02:00Z", "--until", "2026-03-01T12:09:00Z"], 1),
    ],
)
def test_rows_are_chosen(happened: Path, here: Run, options: list[str], rows: int) -> None:
    assert len(here(["trail", "--json", *options], "").out.splitlines()) == rows


def test_in_a_narrow_terminal_no_line_is_longer_than_it(
    happened: Path, here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = here(["trail"], "").out
    assert max(map(len, out.splitlines())) <= 80
    assert f"visit:{VISIT} from 192.0.2.7\n" in out


def test_a_restore_and_a_share_of_orthancs_are_told_in_words(environment: Path, here: Run) -> None:
    restored = {
        "made_at": "2026-03-01T11:00:00+00:00",
        "rows": "19",
        "rows_before": "21",
        "visits_ended": "1",
        "live_again": "0",
        "stricter": "known",
        "trail": "whole",
    }
    made = {"server_id": "orthanc-1"}
    asyncio.run(
        _append(
            [
                Record(at=NOON, event=Event.RESTORED, subject="user:root", detail=restored),
                Record(at=NOON, event=Event.SHARE_CREATED, subject="plugin:orthanc", share=SHARE, detail=made),
                Record(at=NOON, event=Event.SHARE_CREATED, subject="plugin:orthanc", detail={"server_id": ""}),
            ]
        )
    )
    told, named, nameless = (" ".join(line.split()) for line in here(["trail"], "").out.splitlines()[1:4])
    for words in ("backup of 2026-03-01 11:00", "19 rows, 21 before", "1 visit ended", "0 shares live again"):
        assert words in told
    assert "what came after it is known" in told
    assert named.endswith("asked for by orthanc-1")
    assert nameless.endswith("plugin:orthanc")


def test_what_strangers_send_cannot_steer_the_terminal(happened: Path, here: Run) -> None:
    assert "\x1b" not in here(["trail"], "").out + here(["trail", "--json"], "").out


def test_an_altered_row_is_found(happened: Path, here: Run) -> None:
    with sqlite3.connect(happened / "keyhole.db") as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for name in names:
            database.execute(f"DROP TRIGGER {name}")
        database.execute(
            "UPDATE trail SET body = CAST(replace(CAST(body AS TEXT), '1.2.3', '1.2.4') AS BLOB) WHERE seq = 3"
        )
    database.close()
    result = here(["trail", "--verify"], "")
    assert (result.status, result.out) == (1, "broken: row 3 was altered, or is not in its place\n")
    result = here(["trail", "--verify", "--json"], "")
    assert (result.status, result.out) == (1, '{"intact": false, "row": 3, "fault": "altered"}\n')


def test_what_was_asked_for_others_is_no_access(environment: Path, here: Run) -> None:
    about = {"about": f"visit:{VISIT}", "asked": "retrieve"}
    key: dict[str, object] = {"subject": "key:worklist", "detail": about}
    asked = [
        seen(Event.ASKED, 1, Action.ASK, **key),
        seen(Event.COUNT, 2, Action.ASK, times=40, **key),
        seen(Event.ASKED, 3, Action.ASK, reason=Reason.NO_GRANT, times=2, **key),
        seen(Event.ASKED, 4, Action.ASK, reason=Reason.NO_GRANT, times=3, **key),
        seen(Event.GRANTS_READ, 5, Action.AUDIT, subject="user:anna", detail={"asked": "download"}),
    ]
    asyncio.run(_append(asked))
    lines = [" ".join(line.split()) for line in here(["trail"], "").out.splitlines()]
    what = f"key:worklist share:{SHARE} 1.2.3"
    assert lines[1:5] == [
        f"2026-03-01 12:01 to 12:02 asked {what} about visit:{VISIT}, may retrieve",
        f"2026-03-01 12:03 asked: no-grant {what} 2 times, about visit:{VISIT}, may retrieve",
        f"2026-03-01 12:04 asked: no-grant {what} 3 times, about visit:{VISIT}, may retrieve",
        f"2026-03-01 12:05 grants read user:anna share:{SHARE} 1.2.3 may download",
    ]
