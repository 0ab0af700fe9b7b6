"""Another machine: a network namespace of its own, which reaches this one by a pair of virtual Ethernet devices."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Namespace:
    """The namespace, and the numeric address under which this machine is seen from it."""

    name: str
    address: str

    def program(self, folder: Path, command: str) -> Path:
        """A program in *folder* that runs *command* in the namespace, with whatever arguments it is given."""
        file = folder / f"{Path(command).name}-elsewhere"
        file.write_text(f'#!/bin/sh\nexec {_as_root(f"ip netns exec {self.name} {command}")} "$@"\n')
        file.chmod(0o755)
        return file


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Make one, and take it away with its devices, whatever happens."""
    name = f"keyhole-{secrets.token_hex(3)}"
    here, there = f"kh{secrets.token_hex(3)}a", f"kh{secrets.token_hex(3)}b"
    network = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(256)}"
    _run(f"ip netns add {name}")
    try:
        _run(f"ip link add {here} type veth peer name {there} netns {name}")
        _run(f"ip address add {network}.1/30 dev {here}")
        _run(f"ip link set {here} up")
        _run(f"ip -n {name} address add {network}.2/30 dev {there}")
        _run(f"ip -n {name} link set {there} up")
        _run(f"ip -n {name} link set lo up")
        yield Namespace(name, f"{network}.1")
    finally:
        _run(f"ip netns delete {name}")  # and with it both devices: one end of a pair takes the other along


def _as_root(command: str) -> str:
    return command if os.geteuid() == 0 else f"sudo -n {command}"


def _run(command: str) -> None:
    subprocess.run(_as_root(command).split(), check=True, capture_output=True)
