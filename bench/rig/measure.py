"""Runs side by side: the load client as a process, what the servers' CPUs did meanwhile, medians and ratios."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rig.client import Order, Phase, Result

_CLIENT = Path(__file__).with_name("client.py")
_TICK = os.sysconf("SC_CLK_TCK")
_STAT_FIELDS_AFTER_NAME = slice(11, 15)
"""utime, stime, cutime and cstime of proc(5), counted after the name in brackets."""


def ask(port: int, phases: Sequence[Phase], *, keep: int = 0, bytes_per_second: float | None = None) -> Result:
    """Let the load client run *phases* against *port*; fail unless every answer was 200."""
    order = Order(port=port, phases=list(phases), keep=keep, bytes_per_second=bytes_per_second)
    done = subprocess.run(
        [sys.executable, "-I", str(_CLIENT)], input=json.dumps(order), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result: Result = json.loads(done.stdout)
    assert set(result["statuses"]) == {"200"}, f"not everything was answered: {result['statuses']}"
    return result


def cpu_seconds(*pids: int) -> float:
    """What these processes and their living children have used of the CPU by now; in steps of 10 ms."""
    total = 0.0
    for pid in pids:
        numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(number) for number in numbers[_STAT_FIELDS_AFTER_NAME]) / _TICK
        total += cpu_seconds(*children(pid))
    return total


def children(pid: int) -> list[int]:
    """The living children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass(frozen=True, slots=True)
class Leg:
    """One of the ways that are compared. ``run`` gives seconds; ``watched`` are servers by name, whose CPU is told."""

    name: str
    run: Callable[[], float]
    watched: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians of one leg."""

    seconds: float
    cpu: Mapping[str, float]


def interleaved(legs: Sequence[Leg], rounds: int) -> dict[str, Measured]:
    """Run every leg once in each of *rounds*, each round beginning with another; the medians, by name."""
    seconds: dict[str, list[float]] = {leg.name: [] for leg in legs}
    cpu: dict[str, list[dict[str, float]]] = {leg.name: [] for leg in legs}
    for number in range(rounds):
        for leg in (*legs[number % len(legs) :], *legs[: number % len(legs)]):
            before = {name: cpu_seconds(pid) for name, pid in leg.watched.items()}
            seconds[leg.name].append(leg.run())
            cpu[leg.name].append({name: cpu_seconds(pid) - before[name] for name, pid in leg.watched.items()})
    return {
        leg.name: Measured(
            statistics.median(seconds[leg.name]),
            {name: statistics.median(used[name] for used in cpu[leg.name]) for name in leg.watched},
        )
        for leg in legs
    }


def verdict(ratio: float, target: float, *, at_least: bool = False) -> str:
    """*ratio* beside its *target*."""
    met = ratio >= target if at_least else ratio <= target
    return f"{ratio:.2f} (target {'≥' if at_least else '≤'} {target:g}: {'met' if met else 'missed'})"
