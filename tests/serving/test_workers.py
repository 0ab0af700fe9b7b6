"""One process or several: their beginning, their end, and what happens when one dies."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from contextlib import closing
from pathlib import Path

import pytest

from keyhole.serving.malloc import keep_freed_memory
from tests.serving.certificates import self_signed
from tests.serving.programs import Program, program, until

pytestmark = pytest.mark.e2e


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_process_in_order(tmp_path: Path, workers: int, number: int) -> None:
    with program(tmp_path, workers=workers) as running:
        assert {running.get(listener=name)["client"] for name in ("public", "staff", "internal")} == {"127.0.0.1"}
        assert running.ended(number) == (0, "")
        assert len(running.workers()) == workers
        assert sorted(words[0] for words in running.lives()) == ["begin"] * workers + ["end"] * workers
        assert not any(map(alive, running.workers()))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_answer_under_way_is_finished(tmp_path: Path, workers: int) -> None:
    with program(tmp_path, workers=workers) as running, closing(running.connection()) as connection:
        connection.request("GET", "/slow")
        until((tmp_path / "slow").exists)
        running.process.send_signal(signal.SIGTERM)
        assert connection.getresponse().read()
        assert running.ended()[0] == 0


def test_a_stream_without_end_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    with program(tmp_path, workers=2) as running, closing(running.connection()) as connection:
        connection.request("GET", "/stream")
        with connection.getresponse() as answer:
            assert answer.read(4) == b"more"
            assert running.ended(signal.SIGTERM)[0] == 0


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with program(tmp_path, workers=2) as running:
        before = running.workers()
        victim = running.get()["pid"]
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(running.workers()) == 3)
        (new,) = running.workers() - before
        until(lambda: running.get()["pid"] == new)
        status, words = running.ended(signal.SIGTERM)
        assert status == 0
        assert words == f"keyhole: worker {victim} was ended by SIGKILL; another takes its place\n"


def test_workers_that_die_as_fast_as_they_are_started_are_not_started_for_ever(tmp_path: Path) -> None:
    with program(tmp_path, "build_once", workers=2) as running:
        (tmp_path / "broken").touch()
        os.kill(min(running.workers()), signal.SIGKILL)
        assert running.process.stderr is not None
        words = [running.process.stderr.readline() for _ in range(6)]
        assert "was ended by SIGKILL" in words[0]
        assert all("ended with status 1: the database is away; another takes its place" in line for line in words[1:5])
        assert words[5] == "keyhole: 5 workers ended within 30 seconds: waiting before another is started\n"
        assert running.get()["pid"] == max(running.workers())
        assert running.ended(signal.SIGTERM) == (0, "")


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with program(tmp_path, workers=2) as running:
        running.ended(signal.SIGKILL)
        until(lambda: not any(map(alive, running.workers())))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_keeps_it_from_starting_is_told_once(tmp_path: Path, workers: int) -> None:
    running = Program.start(tmp_path, "build_without_database", workers=workers)
    assert running.ended() == (2, "the database is away\n")


def test_a_worker_that_crashes_before_it_is_ready_ends_it_all(tmp_path: Path) -> None:
    status, words = Program.start(tmp_path, "build_crashing", workers=2).ended()
    assert status == 1
    assert "ended with status 9 before it was ready" in words


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        status, words = Program.start(tmp_path, bind=place, workers=2).ended()
    assert status == 2
    assert words.startswith(f"KEYHOLE_BIND cannot be bound: {place} (another program listens there already")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_public_and_staff_listeners_speak_tls(tmp_path: Path, workers: int) -> None:
    certificate, key = self_signed(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))
    options = {"tls_cert": str(certificate), "tls_key": str(key), "public_url": "https://127.0.0.1"}
    with program(tmp_path, workers=workers, **options) as running:
        assert running.get(tls=trusting)["scheme"] == "https"
        assert running.get(listener="staff", tls=trusting)["scheme"] == "https"
        assert running.get(listener="internal")["scheme"] == "http"
        trusting.maximum_version = ssl.TLSVersion.TLSv1_2
        assert running.get(tls=trusting)["scheme"] == "https"


def test_the_metrics_of_several_workers_meet_in_a_folder_that_goes_with_them(tmp_path: Path) -> None:
    with program(tmp_path, workers=2) as running:
        running.ended(signal.SIGTERM)
        (folder,) = {words[2] for words in running.lives() if words[0] == "end"}
        assert "keyhole-metrics-" in folder
        assert not Path(folder).exists()


def test_one_process_has_no_such_folder(tmp_path: Path) -> None:
    with program(tmp_path) as running:
        running.ended(signal.SIGTERM)
        assert [words[2] for words in running.lives() if words[0] == "end"] == ["None"]


def test_freed_memory_is_kept_unless_the_environment_says_otherwise() -> None:
    chosen = {"MALLOC_MMAP_THRESHOLD_": "1", "MALLOC_TRIM_THRESHOLD_": "1"}
    assert keep_freed_memory(chosen) is keep_freed_memory({})
