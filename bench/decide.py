"""How long a decision takes: ``python bench/decide.py``.

Pure ``decide`` for a visit with 1 and 10 grants, for a key with a role, and for a refusal, in microseconds (median of
interleaved rounds) and as a ratio to one HMAC-SHA256 of 64 bytes in the same rounds, which is what machines can be
compared by.
"""

from __future__ import annotations

import hashlib
import hmac
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from keyhole.access.decision import Ask
from keyhole.access.pdp import decide
from keyhole.access.resource import Action, Resource
from keyhole.access.share import Share, ShareKind
from keyhole.access.subject import Kind, Subject
from keyhole.identity.role import role_grants

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS = 60
CALLS = 2_000


def share(studies: int) -> Share:
    """A share of that many studies."""
    return Share(
        id="a" * 16,
        archive="pacs",
        resources=tuple(Resource.of("pacs", f"1.2.{number}") for number in range(studies)),
        kind=ShareKind.VIEW,
        creator="user:bench",
        created_at=NOW,
        expires_at=NOW + timedelta(days=7),
        key_id="k",
    )


def cases() -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    visitor = Subject(Kind.VISIT, "visit:v", frozenset({"visit:v", f"share:{'a' * 16}"}))
    program = Subject(Kind.API_KEY, "key:k", frozenset({"key:k", "role:reader"}))
    one, ten, roles = share(1).grants(), share(10).grants(), role_grants({"reader"}, ["pacs"])
    frame = Ask(Action.RETRIEVE, Resource.of("pacs", "1.2.0", "1.2.0.1", "1.2.0.1.1"))
    foreign = Ask(Action.RETRIEVE, Resource.of("pacs", "1.3", "1.3.1", "1.3.1.1"))
    search = Ask(Action.SEARCH, Resource.whole("pacs"), divisible=True)
    key, message = b"k" * 32, b"m" * 64
    return {
        "hmac-sha256 (the measure)": lambda: hmac.digest(key, message, hashlib.sha256),
        "a frame, 1 grant": lambda: decide(frame, visitor, one, NOW),
        "a frame, 10 grants": lambda: decide(frame, visitor, ten, NOW),
        "a frame of another study, 10 grants": lambda: decide(foreign, visitor, ten, NOW),
        "a search, 10 grants": lambda: decide(search, visitor, ten, NOW),
        "a frame, role": lambda: decide(frame, program, roles, NOW),
    }


def microseconds(call: Callable[[], object]) -> float:
    """The mean time of one call in this round."""
    begun = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - begun) / CALLS * 1e6


def main() -> None:
    """Print a line for each case."""
    measured = cases()
    rounds = [{name: microseconds(call) for name, call in measured.items()} for _ in range(ROUNDS)]
    medians = {name: statistics.median(one[name] for one in rounds) for name in measured}
    base = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"{name:40} {median:8.2f} µs   {median / base:6.1f} x")


if __name__ == "__main__":
    main()
