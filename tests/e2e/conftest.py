"""What the end-to-end tests run against: real archives, a real Keyhole, a real browser. Missing ones are failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.e2e import dataset
from tests.postgres import postgres, postgresql_url
from tests.servers.keycloak import Keycloak, keycloak
from tests.servers.keyhole import Keyhole, keyhole
from tests.servers.leaky import Leaky, leaky
from tests.servers.orthanc import TRIXIE, Orthanc, orthanc

__all__ = ["postgres", "postgresql_url"]

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ARCHIVES = ("folder", "orthanc_debian", "orthanc_trixie")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser and put it last: once its driver runs, so does its loop, and no other can beside it."""
    for item in items:
        if "driver" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all the test studies; its name has a space in it."""
    return dataset.write(tmp_path_factory.mktemp("the studies") / "with a space", dataset.everything())


@pytest.fixture(scope="session")
def orthanc_debian(tmp_path_factory: pytest.TempPathFactory, studies: Path) -> Iterator[Orthanc]:
    """The distribution's own Orthanc, holding the test studies."""
    with orthanc(tmp_path_factory.mktemp("orthanc-debian")) as running:
        running.upload(studies)
        yield running


@pytest.fixture(scope="session")
def orthanc_trixie(tmp_path_factory: pytest.TempPathFactory, studies: Path) -> Iterator[Orthanc]:
    """The next release's Orthanc, holding the test studies."""
    assert TRIXIE.is_dir(), "make servers brings the next release's Orthanc"
    with orthanc(tmp_path_factory.mktemp("orthanc-trixie"), TRIXIE) as running:
        running.upload(studies)
        yield running


@pytest.fixture(scope="session", params=ARCHIVES)
def archive(request: pytest.FixtureRequest, studies: Path) -> Mapping[str, str]:
    """The settings of each kind of archive in turn, all holding the test studies."""
    if request.param == "folder":
        return {"KEYHOLE_ARCHIVE": str(studies)}
    settings: Mapping[str, str] = request.getfixturevalue(request.param).settings
    return settings


@pytest.fixture(scope="session")
def server(archive: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    """A Keyhole in front of each kind of archive in turn."""
    with keyhole(tmp_path_factory.mktemp("keyhole"), archive) as running:
        yield running


@pytest.fixture(scope="session")
def identity_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    """A real Keycloak; each test module makes realms of its own."""
    with keycloak(tmp_path_factory.mktemp("keycloak")) as running:
        yield running


@pytest.fixture(scope="module")
def leaky_archive() -> Iterator[Leaky]:
    """An archive that answers everything, and remembers every call."""
    with leaky() as running:
        yield running


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    """What starts browsers. There can be one only."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(driver: Playwright) -> Iterator[Browser]:
    """Debian's Chromium, headless; software rendering works by itself."""
    running = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
    try:
        yield running
    finally:
        running.close()
