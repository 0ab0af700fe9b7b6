"""The internal listener: health for everybody, figures for whoever has the token."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.secret import Secret
from keyhole.archive.answer import ArchiveAnswer
from keyhole.errors import ArchiveFailed
from keyhole.web.internal import Internal
from keyhole.web.metrics import Counted, Metrics, TimedArchive
from tests.web.staff.client import Client

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TOKEN = "a-token-of-some-length"
BEARER = [("authorization", f"Bearer {TOKEN}")]


@dataclass
class Parts:
    held: dict[str, bool] = field(default_factory=lambda: {"database": True, "archive main": True})

    async def parts(self) -> Mapping[str, bool]:
        return self.held


def internal(parts: Parts | None = None, token: str | None = TOKEN, metrics: Metrics | None = None) -> Client:
    return Client(Internal(parts or Parts(), metrics or Metrics(), None if token is None else Secret(token)))


async def test_a_living_process_says_so_to_everybody() -> None:
    answer = await internal(Parts({"database": False})).ask("GET", "/healthz")
    assert (answer.status, answer.json) == (200, {"alive": True})


async def test_a_process_is_ready_when_all_its_parts_are() -> None:
    answer = await internal().ask("GET", "/readyz")
    assert answer.status == 200
    assert answer.json == {"ready": True, "parts": {"database": "ok", "archive main": "ok"}}


async def test_a_process_that_lacks_a_part_names_it() -> None:
    answer = await internal(Parts({"database": True, "archive main": False})).ask("GET", "/readyz")
    assert answer.status == 503
    assert answer.json == {"ready": False, "parts": {"database": "ok", "archive main": "failed"}}
    assert answer.headers["retry-after"] == "1"


async def test_head_has_the_head_of_get() -> None:
    answer = await internal().ask("HEAD", "/readyz")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


async def test_figures_are_for_whoever_has_the_token() -> None:
    answer = await internal().ask("GET", "/metrics", headers=BEARER)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"# TYPE keyhole_requests_total counter" in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="no token"),
        pytest.param([("authorization", "Bearer wrong")], id="a wrong token"),
        pytest.param([("authorization", f"Bearer {TOKEN}x")], id="one character more"),
        pytest.param([("authorization", f"Basic {TOKEN}")], id="another scheme"),
        pytest.param([("authorization", TOKEN)], id="no scheme"),
        pytest.param(BEARER * 2, id="the token twice"),
        pytest.param([("authorization", "Bearer \xff")], id="bytes that are no text"),
    ],
)
async def test_nobody_else_sees_them(headers: list[tuple[str, str]]) -> None:
    answer = await internal().ask("GET", "/metrics", headers=headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="keyhole metrics"'
    assert b"keyhole_requests" not in answer.body


async def test_without_a_token_there_are_no_figures() -> None:
    assert (await internal(token=None).ask("GET", "/metrics", headers=BEARER)).status == 404


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/..", "/api/v1/shares"])
async def test_there_is_nothing_else(path: str) -> None:
    assert (await internal().ask("GET", path)).status == 404


async def test_nothing_can_be_changed() -> None:
    answer = await internal().ask("POST", "/healthz")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


# -- what is counted


def figures(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


async def test_requests_are_counted_while_they_run_and_when_they_have_ended() -> None:
    metrics, seen, go_on = Metrics(), asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 206, "headers": []})
        await send({"type": "http.response.body", "body": b"12345"})
        seen.set()
        await go_on.wait()

    asking = asyncio.create_task(Client(Counted(app, "public", metrics)).ask("GET", "/"))
    await seen.wait()
    assert figures(metrics)['keyhole_requests_open{listener="public"}'] == 1
    go_on.set()
    await asking
    counted = figures(metrics)
    assert counted['keyhole_requests_open{listener="public"}'] == 0
    assert counted['keyhole_requests_total{listener="public",status="206"}'] == 1
    assert counted['keyhole_sent_bytes_total{listener="public"}'] == 5


async def test_what_is_counted_is_among_the_figures_without_anybody_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyhole.web.metrics.LATE", 0.0)
    metrics = Metrics()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"12345"})

    await Client(Counted(app, "public", metrics)).ask("GET", "/")
    await asyncio.sleep(0.01)
    metrics.counting.clear()  # as for another worker's figures, which nobody here can ask for
    assert figures(metrics)['keyhole_requests_total{listener="public",status="200"}'] == 1


def test_decisions_images_and_rows_are_counted() -> None:
    metrics = Metrics()
    metrics.decided("allowed")
    metrics.decided(Reason.NO_GRANT)
    metrics.recorded(
        [
            Record(at=NOW, event=Event.COUNT, subject="visit:x", images=120, times=3),
            Record(at=NOW, event=Event.REFUSAL, subject="others", times=70),
        ]
    )
    counted = figures(metrics)
    assert counted['keyhole_decisions_total{outcome="allowed"}'] == 1
    assert counted['keyhole_decisions_total{outcome="no-grant"}'] == 1
    assert counted["keyhole_images_total"] == 120
    assert counted['keyhole_trail_total{event="count"}'] == 1
    assert counted['keyhole_trail_total{event="refusal"}'] == 70


class Slow:
    """An archive that answers one thing and fails at the rest."""

    name, root = "main", "http://archive.test"

    @asynccontextmanager
    async def get(self, path: str, query: str, accept: str) -> AsyncIterator[ArchiveAnswer]:
        if path != "/studies":
            raise ArchiveFailed("no")
        yield ArchiveAnswer(200, "application/dicom+json", body=self.body())

    async def body(self) -> AsyncIterator[bytes]:
        yield b"[]"

    def post(self, *_: object) -> None: ...

    async def close(self) -> None: ...


async def test_an_archives_time_to_answer_is_measured_also_when_it_fails() -> None:
    metrics = Metrics()
    archive = TimedArchive(Slow(), metrics)  # type: ignore[arg-type]
    async with archive.get("/studies", "", "*/*") as answer:
        assert [chunk async for chunk in answer.body] == [b"[]"]
    with pytest.raises(ArchiveFailed):
        async with archive.get("/else", "", "*/*"):
            pass
    assert figures(metrics)['keyhole_archive_seconds_count{archive="main"}'] == 2


WORKER = """
import sys
from keyhole.web.metrics import Metrics
metrics = Metrics()
metrics.decided("allowed")
print(metrics.exposition().decode())
"""


def test_workers_share_their_figures(tmp_path: Path) -> None:
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    for workers in (1, 2):
        run = subprocess.run(
            [sys.executable, "-c", WORKER], env=environment, check=True, capture_output=True, text=True, timeout=60
        )
        assert re.search(rf'keyhole_decisions_total{{outcome="allowed"}} {workers}\.0', run.stdout)
