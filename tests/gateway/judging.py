"""What answers questions about a gate's visitors, keys and shares."""

from __future__ import annotations

from keyhole.gateway.decisions import Decisions
from keyhole.gateway.judge import Judge
from keyhole.gateway.throttle import Throttle
from tests.gateway.gate import Gate


def judge_of(gate: Gate) -> Judge:
    return Judge(identity=gate.identity, understanding=gate.gateway.understanding, now=gate.clock)


def decisions_of(gate: Gate, *, at_once: int = 1000, per_second: float = 100) -> Decisions:
    return Decisions(
        store=gate.store,
        archives=("main",),
        ledger=gate.ledger,
        judge=judge_of(gate),
        throttle=Throttle(at_once=at_once, per_second=per_second),
        now=gate.clock,
    )
