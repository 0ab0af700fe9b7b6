"""Passcodes: which are taken, and how they are hashed."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import pytest

from keyhole.access.secret import Secret
from keyhole.errors import Refused
from keyhole.gateway import passcode
from keyhole.gateway.passcode import HASHER, Passcodes
from tests.gateway.asked import CHEAP


@pytest.mark.parametrize(
    "text", ["correct horse", "ABCD-EFGH-JK", "p@ssw0rd is not enough", "x1" * 32, "日本語日本語日本"]
)
def test_what_a_sender_may_choose(text: str) -> None:
    passcode.check(Secret(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("short", "has 8 to 64 characters", id="short"),
        pytest.param("", "has 8 to 64 characters", id="none"),
        pytest.param("x" * 65, "has 8 to 64 characters", id="long"),
        pytest.param("password", "guessed first", id="what everybody chooses"),
        pytest.param("  PassWord ", "guessed first", id="however it is written"),
        pytest.param("passwort123", "guessed first", id="in German"),
        pytest.param("1234567890", "guessed first", id="a row"),
        pytest.param("87654321", "guessed first", id="a row backwards"),
        pytest.param("abcdefghi", "guessed first", id="the alphabet"),
        pytest.param("aaaaaaaa", "guessed first", id="one letter"),
    ],
)
def test_what_a_sender_may_not_choose(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        passcode.check(Secret(text))
    assert not text.strip() or text.strip() not in str(refused.value)


def test_those_made_up_are_in_groups_and_each_another() -> None:
    made = {passcode.generate().reveal() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch("[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{2}", one) for one in made)
    for one in made:
        passcode.check(Secret(one))


async def test_the_hash_is_argon2id_with_the_parameters_that_are_recommended() -> None:
    kept = await Passcodes().hashed(Secret("correct horse"))
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await Passcodes().right(kept, " correct horse ")
    assert not await Passcodes().right(kept, "Correct horse")


async def test_one_that_was_made_up_is_right_however_it_is_typed() -> None:
    made = passcode.generate()
    kept = await Passcodes(CHEAP).hashed(made)
    for typed in (
        made.reveal(),
        made.reveal().lower(),
        made.reveal().replace("-", " "),
        made.reveal().replace("-", ""),
    ):
        assert await Passcodes().right(kept, typed)


@pytest.mark.parametrize("shown", ["", "x" * 1000, "\ud800" * 10, "\0" * 7, "wrong horse"])
async def test_whatever_is_shown_is_hashed_once(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    passcodes, kept, verified = Passcodes(), CHEAP.hash("correct horse"), []
    real = passcodes._hasher.verify

    def verify(*arguments: Any) -> bool:
        verified.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(type(passcodes._hasher), "verify", lambda _, *arguments: verify(*arguments))
    assert not await passcodes.right(kept, shown)
    assert len(verified) == 1
    assert len(verified[0][1]) <= 64


async def test_what_is_no_hash_costs_as_much_as_one_and_is_right_for_nobody() -> None:
    assert not await Passcodes().right("", "")
    assert not await Passcodes().right("not a hash", "correct horse")
    assert HASHER.check_needs_rehash(passcode._NOBODYS) is False, "what is checked instead has other parameters"


async def test_what_is_no_passcode_is_not_hashed_for_keeping() -> None:
    with pytest.raises(ValueError, match="no passcode"):
        await Passcodes().hashed(Secret("short"))


async def test_hashes_are_made_beside_the_event_loop_and_not_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock, here = 0, 0, threading.Lock(), threading.get_ident()

    class Slow:
        def verify(self, *_: str) -> bool:
            nonlocal running, most
            assert threading.get_ident() != here
            with lock:
                running += 1
                most = max(most, running)
            threading.Event().wait(0.01)
            with lock:
                running -= 1
            return True

    passcodes = Passcodes(Slow())  # type: ignore[arg-type]
    monkeypatch.setattr(passcode, "MOST_WAITING", 8)
    asked = [asyncio.ensure_future(passcodes.right("kept", "correct horse")) for _ in range(8)]
    await asyncio.sleep(0)
    assert passcodes.full
    assert all(await asyncio.gather(*asked))
    assert most == passcode.AT_ONCE
    assert not passcodes.full
