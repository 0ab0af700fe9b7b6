"""The staff API before a desk that works, and who asks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyhole.access.decision import Record
from keyhole.web import api
from tests.web.staff.asking import bearer
from tests.web.staff.client import Client
from tests.web.staff.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def refused() -> list[Record]:
    return []


@pytest.fixture
def stranger(world: World, refused: list[Record]) -> Client:
    return Client(api.staff(world.desk, world.decisions, world, refused.append, "main"))


@pytest.fixture
def sharer(world: World, stranger: Client) -> Client:
    return replace(stranger, headers=bearer(world.key("sharer")))


@pytest.fixture
def reader(world: World, stranger: Client) -> Client:
    return replace(stranger, headers=bearer(world.key("reader")))
