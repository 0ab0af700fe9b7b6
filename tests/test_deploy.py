"""What is in deploy/ hangs together, and says what is known of the plugin."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyhole.operations.auth_service import comments
from keyhole.settings import load_settings
from keyhole.settings.unknown import known_variables
from keyhole.sharing.token import TYPES

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
FOLDER = DEPLOY / "orthanc-plugin"

# As far as the documentation of Orthanc and of its plugin has them.
KNOWN = {
    "": {
        "AuthenticationEnabled",
        "Authorization",
        "DicomServerEnabled",
        "DicomWeb",
        "ExecuteLuaEnabled",
        "HttpPort",
        "IndexDirectory",
        "Name",
        "OrthancExplorer2",
        "RemoteAccessAllowed",
        "RestApiWriteToFileSystemEnabled",
        "StorageDirectory",
    },
    "Authorization": {
        "CheckedLevel",
        "StandardConfigurations",
        "WebServiceIdentifier",
        "WebServicePassword",
        "WebServiceRootUrl",
        "WebServiceUsername",
    },
    "DicomWeb": {"Enable", "Root"},
    "OrthancExplorer2": {"Enable", "IsDefaultOrthancUI", "Tokens", "UiOptions"},
    "Tokens": {"InstantLinksValidity", "ShareType"},
    "UiOptions": {"EnableShares", "ShareDuration"},
}
STANDARD = {"stone-webviewer", "orthanc-explorer-2", "ohif", "volview", "stl", "osimis-web-viewer"}


def tables(within: str, table: dict[str, Any]) -> Iterator[tuple[str, set[str]]]:
    yield within, set(table)
    for name, value in table.items():
        if isinstance(value, dict):
            yield from tables(name, value)


@pytest.fixture
def orthanc() -> dict[str, Any]:
    found = comments.loads((FOLDER / "orthanc.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.fixture
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


def test_orthancs_options_are_those_there_are(orthanc: dict[str, Any]) -> None:
    for within, names in tables("", orthanc):
        assert names <= KNOWN[within], within


def test_orthanc_asks_as_the_plugin_has_to(orthanc: dict[str, Any], compose: dict[str, Any]) -> None:
    plugin, keyhole = orthanc["Authorization"], compose["services"]["keyhole"]["environment"]
    assert plugin["CheckedLevel"] == "studies"
    assert set(plugin["StandardConfigurations"]) <= STANDARD
    assert plugin["WebServiceRootUrl"] == f"http://keyhole:{keyhole['KEYHOLE_INTERNAL_BIND'].split(':')[1]}/plugin/"
    assert plugin["WebServiceUsername"] == keyhole["KEYHOLE_PLUGIN_USER"]
    assert plugin["WebServiceIdentifier"] == keyhole["KEYHOLE_PLUGIN_SERVER_ID"]
    assert orthanc["DicomWeb"]["Root"] == "/dicom-web/"
    assert not orthanc["AuthenticationEnabled"]
    assert orthanc["OrthancExplorer2"]["Tokens"]["ShareType"] in TYPES


def test_no_password_is_written_down(orthanc: dict[str, Any], compose: dict[str, Any]) -> None:
    assert re.fullmatch(r"\$\{\w+\}", orthanc["Authorization"]["WebServicePassword"])
    values = [str(value) for each in compose["services"].values() for value in each.get("environment", {}).values()]
    variables = dict(line.split("=") for line in (FOLDER / ".env.example").read_text().split() if "=" in line)
    assert not any(variables[name] for name in ("PLUGIN_PASSWORD", "ORTHANC_KEY"))
    assert "${PLUGIN_PASSWORD:?set it in .env}" in values


def test_keyholes_variables_are_settings(compose: dict[str, Any]) -> None:
    assert set(compose["services"]["keyhole"]["environment"]) <= known_variables()


def test_what_reaches_other_machines_is_a_proxys(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert not any(":8001" in port for port in service["ports"])


@pytest.mark.e2e
def test_compose_takes_the_file(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    environment.write_text(
        (FOLDER / ".env.example").read_text().replace("PLUGIN_PASSWORD=", "PLUGIN_PASSWORD=long-enough")
    )
    command = ["docker-compose", "--env-file", str(environment), "-f", str(FOLDER / "docker-compose.yml"), "config"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {"keyhole", "links", "orthanc"}
    settings = load_settings(services["keyhole"]["environment"] | {"KEYHOLE_DATA": str(tmp_path)})
    assert list(settings.every_caller()) == ["orthanc"]
    unset = subprocess.run([*command[:2], "/dev/null", *command[3:]], capture_output=True, check=False, cwd=tmp_path)
    assert unset.returncode != 0, "it starts without a password"


# -- the image


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_what_the_image_copies_is_there() -> None:
    copied = [rest.split() for name, rest in instructions() if name == "COPY" and not rest.startswith("--from")]
    assert copied
    for *sources, _ in copied:
        assert all((ROOT / source).exists() for source in sources)


def test_the_image_runs_as_nobody_else() -> None:
    users = [rest for name, rest in instructions() if name == "USER"]
    assert users == ["10001"]
    assert ("ENTRYPOINT", '["keyhole"]') in instructions()


def pins(path: Path) -> dict[str, str]:
    """Each package of a lock file, with its version and digests, wherever it is for."""
    blocks = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8"))
    plain = (re.sub(r" ;.*?\\\n", r" \\\n", block).strip() for block in blocks if "==" in block)
    return {block.split("==")[0]: block for block in plain}


def test_the_image_has_what_is_locked_and_nothing_of_the_tests() -> None:
    here, whole = pins(DEPLOY / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert here.items() <= whole.items()
    assert {"pytest", "schemathesis", "mypy"}.isdisjoint(here)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[project.scripts]")[0]
    needed = re.findall(r'^  "([a-z0-9-]+)', project, re.MULTILINE)
    assert {"aiohttp", "uvicorn"} <= set(needed)
    assert set(needed) <= here.keys()
