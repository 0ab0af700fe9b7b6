"""A Keyhole to look over, where the machine's own peculiarities do not show."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.operations.doctor import archives, mounts
from tests.operations.conftest import environment, here, postgres, postgresql_url, sample
from tests.servers.process import free_port

__all__ = ["environment", "here", "postgres", "postgresql_url", "sample"]


@pytest.fixture
def place(environment: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a Keyhole whose ports nobody uses, on a disk, whatever the machine has."""
    table = tmp_path_factory.mktemp("proc") / "mountinfo"
    table.write_text("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr(mounts, "TABLE", table)
    monkeypatch.setattr(archives, "own_addresses", tuple)
    monkeypatch.setenv("KEYHOLE_PUBLIC_URL", f"http://127.0.0.1:{free_port()}")
    for name in ("BIND", "STAFF_BIND", "INTERNAL_BIND"):
        monkeypatch.setenv(f"KEYHOLE_{name}", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("KEYHOLE_VIEWER", str(environment / "no viewer"))
    return environment
