"""Mutation testing of what decides (`make mutants`): change the code in small ways, and see whether a test notices.

mutmut mutates a clone of what is committed, never the tree itself, and runs the tests of `access`, `dicom` and
`sharing` that reach what was changed. It does so in processes forked from one that has imported everything: what runs
at import, to build tables, is changed too late there. So what nothing noticed in such functions is tried again in a
process of its own. What is left has to stand in docs/mutation-testing.md, with the reason why it may.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "mutation-testing.md"
PACKAGES = ("access", "dicom", "sharing")
AT_ONCE = 2
ENTRY = re.compile(r"^- `([\w.]+)` → `(.+)`$", re.MULTILINE)

CALLS = """
import importlib, pkgutil, sys
found = set()
sys.setprofile(lambda frame, *_: found.add(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"))
for package in sys.argv[1:]:
    name = f"keyhole.{package}"
    for module in pkgutil.iter_modules(importlib.import_module(name).__path__, f"{name}."):
        importlib.import_module(module.name)
sys.setprofile(None)
print(*(name for name in found if name.startswith("keyhole.")), sep="\\n")
"""
"""Print the functions of ours that are called while everything is imported."""

NOTICED = frozenset({1, 3})  # exit codes of pytest
TOO_LONG = frozenset({-24, -9, 24, 36, 152, 255})  # as mutmut counts them: what never ends was noticed as well


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: what mutmut calls it, where it is, what stands there instead, and what came of it."""

    name: str
    module: str
    where: str
    instead: str
    outcome: str

    @property
    def package(self) -> str:
        """The package that it is in."""
        return self.module.split(".")[1]


def accepted() -> frozenset[tuple[str, str]]:
    """What may survive, as the page says it: where, and what stands there instead."""
    return frozenset(ENTRY.findall(PAGE.read_text(encoding="utf-8")))


def clone(tree: Path) -> None:
    """What is committed, in *tree*."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tree)], check=True)  # noqa: S603, S607 - our own words


def environment(**more: str) -> dict[str, str]:
    """The same examples each time: a verdict is no luck (tests/conftest.py)."""
    return {**os.environ, "HYPOTHESIS_PROFILE": "mutants", **more}


def mutate(tree: Path) -> None:
    """Let mutmut make all mutants and try them; its tables are in ``[tool.mutmut]`` of pyproject.toml."""
    run = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()", "run", "--max-children", str(AT_ONCE)]
    with (tree / "mutmut.log").open("wb") as log:
        done = subprocess.run(run, cwd=tree, env=environment(), stdout=log, check=False)  # noqa: S603 - our own words
    if done.returncode:
        sys.exit((tree / "mutmut.log").read_text(encoding="utf-8")[-2000:])


def mutants(tree: Path) -> Iterator[Mutant]:
    """All mutants in *tree*, with mutmut's verdict."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant  # noqa: PLC0415 - there once `make mutants` brought it

    for meta in sorted(tree.glob("mutants/src/keyhole/*/*.py.meta")):
        source = meta.relative_to(tree / "mutants").with_suffix("")
        module = ".".join(source.with_suffix("").parts[1:])
        for name, code in json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"].items():
            outcome = "noticed" if code in NOTICED else "endless" if code in TOO_LONG else "survived"
            instead = _instead(get_diff_for_mutant(name, path=source)) if outcome == "survived" else ""
            yield Mutant(name, module, _where(module, name), instead, outcome)


def _where(module: str, name: str) -> str:
    """From mutmut's ``module.xǁClassǁmethod__mutmut_3`` or ``module.x_function__mutmut_3``."""
    mangled = name.removeprefix(f"{module}.").rpartition("__mutmut_")[0]
    return f"{module}.{mangled.removeprefix('xǁ').removeprefix('x_').replace('ǁ', '.')}"


def _instead(diff: str) -> str:
    """The lines that a mutant has; those that it lacks when it only takes away."""
    lines = [line for line in diff.splitlines() if not line.startswith(("+++", "---"))]
    has, lacks = ([line[1:].strip() for line in lines if line.startswith(sign)] for sign in "+-")
    return " ".join(has) if any(re.search(r"\w", line) for line in has) else f"without {' '.join(lacks)}"


def at_import(tree: Path) -> frozenset[str]:
    """The functions that run when the packages are imported."""
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", CALLS, *PACKAGES], cwd=tree / "src", stdout=subprocess.PIPE, check=True
    )
    return frozenset(done.stdout.decode().split())


def alone(tree: Path, name: str, package: str) -> bool:
    """Whether a test notices mutant *name* of *package* in a process that imports everything anew."""
    paths = os.pathsep.join(["src", os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    # backwards: the vectors, which tell most of tables, come last in the alphabet
    files = sorted((tree / "tests" / package).glob("test_*.py"), reverse=True)
    done = subprocess.run(  # noqa: S603 - our own words
        [*command, *(str(file.relative_to(tree)) for file in files)],
        cwd=tree / "mutants",
        env=environment(MUTANT_UNDER_TEST=name, PYTHONPATH=paths),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode != 0


def tried_again(tree: Path, found: list[Mutant]) -> list[Mutant]:
    """*found*, with those that were noticed when alone marked so."""
    if any(alone(tree, "", package) for package in PACKAGES):
        sys.exit("the tests fail without any mutant")
    early = at_import(tree)
    left = [mutant for mutant in found if mutant.outcome == "survived" and mutant.where in early]
    print(f"{len(left)} mutants of what runs at import, each in a process of its own", file=sys.stderr)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        noticed = pool.map(lambda mutant: alone(tree, mutant.name, mutant.package), left)
        late = {mutant.name for mutant, was in zip(left, noticed, strict=True) if was}
    return [replace(mutant, outcome="noticed") if mutant.name in late else mutant for mutant in found]


def table(found: list[Mutant], may: frozenset[tuple[str, str]]) -> Iterator[str]:
    """The totals, as the page shows them."""
    yield "| module | mutants | noticed | of these endless | may survive | survived |"
    yield "|---|---|---|---|---|---|"
    rows: dict[str, Counter[str]] = {}
    for mutant in found:
        known = mutant.outcome == "survived" and (mutant.where, mutant.instead) in may
        rows.setdefault(mutant.module, Counter())["may" if known else mutant.outcome] += 1
    for module, counts in [*sorted(rows.items()), ("all", sum(rows.values(), Counter()))]:
        yield f"| {module} | {counts.total()} | {_cells(counts)} |"


def _cells(counts: Mapping[str, int]) -> str:
    noticed = counts["noticed"] + counts["endless"]
    return " | ".join(map(str, (noticed, counts["endless"], counts["may"], counts["survived"])))


def main() -> int:
    """Print the totals and what survived; 1 when something survived that may not, or is accepted and did not."""
    begun, may = time.monotonic(), accepted()
    with TemporaryDirectory(prefix="keyhole-mutants-") as folder:
        tree = Path(folder) / "tree"
        clone(tree)
        mutate(tree)
        with chdir(tree):
            found = tried_again(tree, list(mutants(tree)))
    survived = {(mutant.where, mutant.instead) for mutant in found if mutant.outcome == "survived"}
    print(*table(found, may), f"{(time.monotonic() - begun) / 60:.0f} minutes", sep="\n")
    for title, those in (("survived", survived - may), ("accepted, and noticed or gone", may - survived)):
        for where, instead in sorted(those):
            print(f"{title}:\n- `{where}` → `{instead}`")
    return 1 if survived != may else 0


if __name__ == "__main__":
    sys.exit(main())
