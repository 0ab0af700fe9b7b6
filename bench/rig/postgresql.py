"""A PostgreSQL of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.postgres import Cluster


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a cluster that flushes every commit; the address of a fresh database in it."""
    cluster = Cluster()
    try:
        cluster.start()
        cluster.run("CREATE ROLE keyhole LOGIN")
        cluster.run("CREATE DATABASE keyhole OWNER keyhole")
        yield cluster.url("keyhole")
    finally:
        cluster.remove()
