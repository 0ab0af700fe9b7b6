"""Passcodes checked in another process: the same answers, and right ones also when that process is gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from keyhole.gateway.passcode import Passcodes
from keyhole.gateway.passcode_apart import Apart

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
KEPT = CHEAP.hash("correct horse")


@pytest.fixture
def apart() -> Iterator[Apart]:
    made = Apart()
    yield made
    made.close()


def pid(apart: Apart) -> int:
    assert apart._program is not None
    return apart._program.pid


@pytest.mark.parametrize(
    ("kept", "plain", "matches"),
    [
        pytest.param(KEPT, "correct horse", True, id="right"),
        pytest.param(KEPT, "wrong horse", False, id="wrong"),
        pytest.param(KEPT, "", False, id="empty"),
        pytest.param(KEPT, "correct horse\n", False, id="a line more"),
        pytest.param(CHEAP.hash("ünï\u2028cödé\n"), "ünï\u2028cödé\n", True, id="lines and letters of all kinds"),
        pytest.param("no hash", "correct horse", None, id="no hash"),
        pytest.param("", "", None, id="nothing"),
    ],
)
def test_it_tells_whether_a_passcode_is_the_one_that_is_kept(
    apart: Apart, kept: str, plain: str, matches: bool | None
) -> None:
    assert apart.matches(kept, plain) is matches
    assert apart.matches(KEPT, "correct horse") is True


def test_one_process_answers_everybody_in_turn(apart: Apart) -> None:
    apart.matches(KEPT, "")
    first = pid(apart)
    with ThreadPoolExecutor(8) as crowd:
        told = list(crowd.map(lambda n: apart.matches(KEPT, "correct horse" if n % 3 else "wrong"), range(60)))
    assert told == [bool(n % 3) for n in range(60)]
    assert pid(apart) == first


def test_it_gives_way_to_what_serves(apart: Apart) -> None:
    apart.matches(KEPT, "")
    assert os.getpriority(os.PRIO_PROCESS, pid(apart)) > os.getpriority(os.PRIO_PROCESS, 0)


def test_its_environment_and_its_arguments_hold_no_secret(apart: Apart) -> None:
    apart.matches(KEPT, "correct horse")
    place = Path(f"/proc/{pid(apart)}")
    assert b"correct horse" not in place.joinpath("cmdline").read_bytes() + place.joinpath("environ").read_bytes()
    assert b"KEYHOLE" not in place.joinpath("environ").read_bytes()


async def test_a_passcode_is_told_right_although_the_process_was_killed(apart: Apart) -> None:
    passcodes = Passcodes(CHEAP, apart)
    assert await passcodes.right(KEPT, "correct horse")
    for _ in range(3):
        os.kill(pid(apart), signal.SIGKILL)
        assert await passcodes.right(KEPT, "correct horse")
        assert not await passcodes.right(KEPT, "another horse")


async def test_what_is_no_hash_is_nobodys_passcode(apart: Apart) -> None:
    assert not await Passcodes(CHEAP, apart).right("no hash", "correct horse")


async def test_who_leaves_while_it_is_checked_gets_nobody_elses_answer(apart: Apart) -> None:
    passcodes = Passcodes(CHEAP, apart)
    slow = PasswordHasher(time_cost=20, memory_cost=19456, parallelism=1).hash("correct horse")
    leaving = asyncio.ensure_future(passcodes.right(slow, "correct horse"))
    await asyncio.sleep(0.1)
    leaving.cancel()
    assert not await passcodes.right(KEPT, "another horse")
    assert await passcodes.right(KEPT, "correct horse")


def test_it_ends_with_whoever_asked(apart: Apart) -> None:
    apart.matches(KEPT, "")
    program = apart._program
    assert program is not None
    apart.close()
    assert program.returncode is not None
    apart.close()


def test_nothing_is_started_for_nobody() -> None:
    made = Apart()
    made.close()
    assert made._program is None
