"""What is shipped, and what is said about it."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

import keyhole

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in requirements}


def _section(heading: str) -> set[str]:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| ([a-z0-9-]+) \|", section, re.MULTILINE)) - {"package"}


def test_every_dependency_has_its_line() -> None:
    assert _section("At run time") == _names(PROJECT["project"]["dependencies"])
    assert _section("For development and tests") == _names(PROJECT["dependency-groups"]["dev"])


def test_every_dependency_is_locked_by_digest_and_without_an_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))
    assert _names(PROJECT["project"]["dependencies"]) | _names(PROJECT["dependency-groups"]["dev"]) <= locked
    assert "//" not in lock
    assert all(" \\\n    --hash=sha256:" in f"{entry}" for entry in re.split(r"\n(?=[a-z])", lock.strip()))


@pytest.mark.parametrize("folder", ["web/templates", "web/static", "store/migrations"])
def test_what_is_no_code_is_shipped_too(folder: str) -> None:
    assert any(resources.files(keyhole).joinpath(*folder.split("/")).iterdir())


def test_the_built_wheel_is_what_is_tested_where_one_was_built_for_that() -> None:
    wheel = os.environ.get("KEYHOLE_WHEEL")
    if wheel:
        assert Path(keyhole.__file__).is_relative_to(Path(wheel).resolve())


_NAMED_OTHERWISE = {
    "argon2-cffi": "argon2",
    "prometheus-client": "prometheus_client",
    "python-dotenv": "dotenv",
    "pyyaml": "yaml",
    "pillow": "PIL",
}
_FOUND_BY_OTHERS = {"pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg", "python-gdcm"}
"""pydicom asks whether its decoders are there."""
_OF_ANOTHER = {"pydantic_core": "pydantic", "yarl": "aiohttp"}
"""What a package's own interface is written in."""


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    modules = (ast.parse(path.read_text()) for path in (ROOT / "src").rglob("*.py"))
    nodes = [node for module in modules for node in ast.walk(module)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    imported = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"keyhole"}
    declared = _names(PROJECT["project"]["dependencies"]) - _FOUND_BY_OTHERS
    modules_declared = {_NAMED_OTHERWISE.get(name, name.replace("-", "_")) for name in declared}
    assert {_OF_ANOTHER.get(name, name) for name in imported} == modules_declared
