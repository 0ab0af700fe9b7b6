"""Passcodes of links: refused, made up, and hashed with argon2id off the event loop.

The parameters are those that OWASP recommends first ("Password Storage Cheat Sheet"): 19 MiB, two passes, one lane.
"""

from __future__ import annotations

import asyncio
import secrets
from itertools import pairwise
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from keyhole.access.secret import Secret
from keyhole.errors import Refused
from keyhole.gateway.passcode_apart import Apart
from keyhole.sharing import paper
from keyhole.sharing.condition import LONGEST_PASSCODE, SHORTEST_PASSCODE, normalised_passcode

AT_ONCE: Final = 1
"""Hashes that a process makes at a time: each takes 19 MiB and a whole core, and visitors wait for that core too."""

MOST_WAITING: Final = 200
"""Hashes that may wait for their turn, some seconds' worth: who comes then had better come again."""

HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1, type=Type.ID)

_NOBODYS: Final = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OTAxMjM0NQ$cXL3j/YIi1aao9LLBehz/LfWrNiPr0wCV9SzfEWIgDg"
"""What is checked in place of a hash that there is not, so that it takes as long."""

_TRIED_FIRST: Final = """
    password passwort motdepasse contrasena contraseña kennwort passw0rd p@ssw0rd password1 password12 password123
    passwort1 passwort123 password! 12341234 11223344 12344321 1q2w3e4r 1q2w3e4r5t 1qaz2wsx qwertyui qwertyuiop qwerty12
    qwerty123 qwertz123 qwertzui qwertzuiop azertyui azertyuiop azerty123 asdfghjk asdfghjkl zxcvbnm1 yxcvbnm1 abcd1234
    abc12345 a1b2c3d4 1234567890 0987654321 iloveyou ichliebedich jetaime1 sunshine princess football baseball superman
    starwars computer internet trustno1 whatever dragon12 monkey123 letmein1 letmein123 welcome1 welcome123 willkommen
    bienvenue bienvenido changeme changeit geheim123 hospital hopital1 krankenhaus radiology radiologie radiologia
    keyhole1 klinikum
"""
_COMMON: Final = frozenset(_TRIED_FIRST.split())
_ANOTHER: Final = "let one be made with: --passcode generate"


def check(passcode: Secret) -> None:
    """Raise Refused for a passcode that a sender chose and that nobody could type, or that would be guessed first."""
    plain = normalised_passcode(passcode.reveal())
    if plain is None:
        raise Refused(f"a passcode has {SHORTEST_PASSCODE} to {LONGEST_PASSCODE} characters", _ANOTHER)
    steps = {ord(after) - ord(before) for before, after in pairwise(plain)}
    if len(steps) == 1 or passcode.reveal().strip().casefold() in _COMMON:
        raise Refused("that passcode would be guessed first", _ANOTHER)


def generate() -> Secret:
    """A passcode of 50 bits as it is told to people, ``ABCD-EFGH-JK``; any way of writing it is understood."""
    return Secret(paper.grouped(Secret("".join(secrets.choice(paper.ALPHABET) for _ in range(paper.LENGTH)))))


class Passcodes:
    """One per process: bounds what is hashed at a time."""

    def __init__(self, hasher: PasswordHasher = HASHER, apart: Apart | None = None) -> None:
        """Hash with *hasher*; check in the process *apart*, where there is one."""
        self._hasher = hasher
        self._apart = apart
        self._places = asyncio.Semaphore(AT_ONCE)
        self._asked = 0

    @property
    def full(self) -> bool:
        """Whether so many wait that nobody should be added."""
        return self._asked >= MOST_WAITING

    async def hashed(self, passcode: Secret) -> str:
        """What is kept of *passcode*, which :func:`check` let through or :func:`generate` made."""
        plain = normalised_passcode(passcode.reveal())
        if plain is None:
            raise ValueError("that is no passcode")
        async with self._places:
            return await asyncio.to_thread(self._hasher.hash, plain)

    async def right(self, kept: str, shown: str) -> bool:
        """Whether *shown* is the passcode that is *kept*: after the same work, whatever was shown."""
        plain = normalised_passcode(shown)
        self._asked += 1
        try:
            async with self._places:
                matches = await asyncio.to_thread(self._matches, kept, plain or "")
        finally:
            self._asked -= 1
        return matches and plain is not None

    def _matches(self, kept: str, plain: str) -> bool:
        told = None if self._apart is None else self._apart.matches(kept, plain)
        if told is not None:
            return told
        try:
            return self._hasher.verify(kept, plain)
        except InvalidHashError:  # of no form that argon2 knows
            return self._matches(_NOBODYS, plain)
        except VerificationError:
            return False
