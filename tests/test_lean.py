"""What a serving process does not load: each of these is megabytes that stay for as long as it lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SPARED = {
    "aiosmtplib": "mail",
    "alembic": "a database that is behind",
    "babel": "languages, once somebody reads one",
    "cryptography": "signed tokens",
    "joserfc": "signed tokens",
    "mako": "a database that is behind",
    "nh3": "mail",
    "numpy": "pixels",
    "PIL": "pixels",
    "psycopg": "PostgreSQL",
    "psycopg_binary": "PostgreSQL",
    "pygments": "a database that is behind",
    "requests": "pydicom's test files",
}
"""Packages, with what alone has a use for them."""

_PROGRAM = """
import asyncio, os, sys
import keyhole.cli
from keyhole.app import build, prepare
from keyhole.serving import workers
from keyhole.settings.sources import load_settings

settings = load_settings(os.environ)
prepare(settings)

async def serve():
    async with build(settings).lifespan:
        pass

asyncio.run(serve())
print(*{name.partition(".")[0] for name in sys.modules})
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A first start's settings: a folder, and nothing else."""
    (tmp_path / "images").mkdir()
    (tmp_path / "data").mkdir()
    return {
        "KEYHOLE_ARCHIVE": str(tmp_path / "images"),
        "KEYHOLE_DATA": str(tmp_path / "data"),
        "KEYHOLE_PUBLIC_URL": "http://127.0.0.1:8000",
    }


def loaded(environment: dict[str, str]) -> set[str]:
    """The packages that a process has loaded after it began to serve and ended."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_serving_process_loads_only_what_its_settings_ask_for(environment: dict[str, str]) -> None:
    loaded(environment)  # which makes the database
    plain = loaded(environment)
    assert {"keyhole", "pydicom", "sqlalchemy"} <= plain
    assert not SPARED.keys() & plain


def test_and_loads_it_where_they_ask(environment: dict[str, str]) -> None:
    asked = {
        "KEYHOLE_PLUGIN_USER": "orthanc",
        "KEYHOLE_PLUGIN_PASSWORD": "a-password-of-some-length",
        "KEYHOLE_SMTP_HOST": "127.0.0.1",
        "KEYHOLE_MAIL_FROM": "images@hospital.example",
        "KEYHOLE_OIDC_ISSUER": "https://sso.example/realms/hospital",
        "KEYHOLE_OIDC_AUDIENCE": "orthanc",
    }
    found = loaded(environment | asked)
    assert {"aiosmtplib", "alembic", "joserfc", "nh3"} <= found
