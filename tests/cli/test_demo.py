"""``keyhole demo``, but for the viewer and the serving itself, which the tests with a browser do."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from keyhole.cli import demo
from keyhole.settings import Settings, load_settings
from tests.cli.transcript import Result, Run

LINK = re.compile(r"^  http://127\.0\.0\.1:([0-9]+)/s/[a-z2-7]{16}#[a-z2-7]{35}$", re.MULTILINE)

pytestmark = [pytest.mark.loopback, pytest.mark.slow]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that something was served with; nothing is."""
    settings: list[Settings] = []

    def serve(_build: str, wanted: Settings, announce: Callable[[Mapping[str, str]], None]) -> int:
        settings.append(wanted)
        announce({})
        return 0

    monkeypatch.setattr("keyhole.serving.workers.serve", serve)
    monkeypatch.setattr(demo, "have_viewer", lambda _: None)
    return settings


@pytest.fixture
def ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def start(here: Run, tmp_path: Path, ports: tuple[int, int]) -> Callable[[], Result]:
    options = ["--bind", f"127.0.0.1:{ports[0]}", "--staff-bind", f"localhost:{ports[1]}"]
    return lambda: here(["demo", "--data", str(tmp_path / "a demo"), *options], "")


def test_it_serves_samples_and_prints_two_links(
    start: Callable[[], Result], served: list[Settings], ports: tuple[int, int], tmp_path: Path
) -> None:
    result = start()
    assert result.status == 0, result.err
    assert LINK.findall(result.out) == [str(ports[0])] * 2
    assert f"export KEYHOLE_CONFIG='{tmp_path}/a demo/keyhole.toml'" in result.out
    assert served[0].archive == str(tmp_path / "a demo" / "archive")
    assert "CT chest, CT DOC, 2025-03-10, 121 images" in result.out


def test_the_second_start_prints_the_same_links(start: Callable[[], Result], served: list[Settings]) -> None:
    first, second = start(), start()
    assert first.out == second.out


def test_its_settings_are_its_owners_alone(start: Callable[[], Result], served: list[Settings], tmp_path: Path) -> None:
    config = tmp_path / "a demo" / "keyhole.toml"
    start()
    assert config.stat().st_mode & 0o777 == 0o600
    config.chmod(0o644)
    start()
    assert config.stat().st_mode & 0o777 == 0o600


def test_what_is_set_for_a_real_keyhole_is_left_alone(
    start: Callable[[], Result], served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYHOLE_PUBLIC_URL", "https://images.example.org")
    monkeypatch.setenv("KEYHOLE_VIEWER", "/somewhere/else")
    assert LINK.search(start().out)
    assert str(served[0].viewer) == "/somewhere/else"


def test_the_commands_to_try_next_work(
    start: Callable[[], Result], served: list[Settings], here: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    printed = start().out
    for name in ("KEYHOLE_ARCHIVE", "KEYHOLE_ARCHIVE_NAME", "KEYHOLE_DATA", "KEYHOLE_PUBLIC_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("KEYHOLE_CONFIG", str(tmp_path / "a demo" / "keyhole.toml"))
    typed = re.findall(r"^  # .*\n  \S+ (.+)$", printed, re.MULTILINE)
    assert len(typed) == 7
    for command in typed:
        result = here(command.split(), "")
        assert result.status == 0, f"{command}\n{result.err}"


def test_an_address_that_is_taken_is_told_before_anything_is_done(
    start: Callable[[], Result], served: list[Settings], ports: tuple[int, int], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", ports[0])):
        result = start()
    assert (result.status, result.out, served) == (2, "", [])
    assert f"127.0.0.1:{ports[0]}" in result.err
    assert re.search(r"^keyhole: hint: choose others: \S+ demo --bind", result.err, re.MULTILINE)
    assert not any((tmp_path / "a demo" / "archive").iterdir())


def test_the_settings_are_those_of_the_file(
    start: Callable[[], Result], served: list[Settings], tmp_path: Path
) -> None:
    start()
    assert load_settings({}, tmp_path / "a demo" / "keyhole.toml") == served[0]
