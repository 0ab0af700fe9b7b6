"""The viewer: installed, the version that is served, and complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keyhole.operations.doctor.finding import Finding, error, many, ok, warning
from keyhole.web.install_viewer import FILES, VERSION, File, Manifest

_INSTALL = "run: keyhole install-viewer"


@dataclass(frozen=True, slots=True)
class ViewerFacts:
    """What lies in a folder. ``spoilt`` are files that are gone or are not what was installed."""

    folder: Path
    manifest: Manifest | None
    spoilt: tuple[str, ...] = ()


def look(folder: Path) -> ViewerFacts:
    """Compare every file in *folder* with the list of what was installed."""
    manifest = Manifest.read(folder)
    files = {} if manifest is None else manifest.files
    return ViewerFacts(folder, manifest, tuple(name for name, file in files.items() if _spoilt(folder, name, file)))


def _spoilt(folder: Path, name: str, file: File) -> bool:
    path = folder / FILES / name
    try:
        raw = path.read_bytes()
        sizes = {ending: path.with_name(path.name + ending).stat().st_size for ending in _forms(file)}
    except OSError:
        return True
    return hashlib.sha256(raw).hexdigest()[:20] != file.digest or sizes != _forms(file)


def _forms(file: File) -> dict[str, int]:
    return {ending: size for ending, size in ((".br", file.br), (".gz", file.gz)) if size}


def viewer(facts: ViewerFacts) -> Iterator[Finding]:
    """Whether recipients find a viewer."""
    if facts.manifest is None:
        yield error(
            "viewer",
            f"the viewer is not in {facts.folder}",
            "recipients see a page that says so, and no images; the API and DICOMweb work",
            f"{_INSTALL}; or set KEYHOLE_VIEWER to where it is",
        )
    elif not facts.manifest.current:
        yield error(
            "viewer",
            f"the viewer in {facts.folder} is not the one that this version serves (OHIF {VERSION})",
            "it is not served: recipients see no images",
            _INSTALL,
        )
    elif facts.spoilt:
        yield warning(
            "viewer-files",
            f"the viewer lacks {many(len(facts.spoilt), 'file')}, or has other ones there: {facts.spoilt[0]} for one",
            "what is served is not what was examined, or some of it is missing",
            f"remove {facts.folder}, then {_INSTALL}",
        )
    else:
        yield ok("viewer", f"the viewer is OHIF {VERSION}, complete and as it was examined: {facts.folder}")
