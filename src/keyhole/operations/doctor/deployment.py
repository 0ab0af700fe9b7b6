"""What was found at an Orthanc that was tried out, and what it means. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from keyhole.operations.doctor.finding import Finding, error, note, ok, warning
from keyhole.operations.doctor.live import Facts

_OK = 200
_REFUSALS = frozenset({401, 403, 404, 405})
_CLOSED = "close the way in to writing: Keyhole's gateway, or a proxy as in deploy/orthanc-plugin"


def deployment(facts: Facts) -> Iterator[Finding]:
    """Everything about it, as far as it was found out."""
    yield from tried(facts)
    if facts.labels is False:
        yield note(
            "orthanc-labels",
            "this Orthanc has no labels",
            "users can be limited to studies with a label only from Orthanc 1.12.0 on",
            "without limited users nothing is to do",
        )
    if facts.stranger:
        yield from strangers(facts)
    if facts.reads:
        yield from reads(facts)
        yield from writes(facts)


def tried(facts: Facts) -> Iterator[Finding]:
    """Whether it could be tried out, and whether the study is gone again."""
    if facts.left:
        yield error(
            "orthanc-study",
            f"the study that this was tried with is still there: {', '.join(facts.left)}",
            "it shows nobody, but stands in the list of studies",
            "delete it in Orthanc: its patient's id begins with KEYHOLE-DOCTOR",
        )
    if facts.failed is not None:
        step, answer = facts.failed
        yield warning(
            "orthanc-study",
            f"{step} did not work: {f'status {answer}' if isinstance(answer, int) else answer}",
            "what comes after it is not known",
            "give credentials of somebody who may upload, view, share and delete there (--orthanc-credentials); links"
            " are not made where creation is off",
        )
    elif not facts.left:
        yield ok("orthanc-study", "it was tried with a study of its own, which is removed again")


def strangers(facts: Facts) -> Iterator[Finding]:
    """What whoever shows nothing sees of it."""
    if facts.stranger == _OK:
        yield error(
            "orthanc-plugin",
            "a study can be read without showing anything",
            "the Authorization plugin is not loaded, or asks nobody: whoever reaches this address sees every study",
            "load the plugin, and set WebServiceRootUrl; see docs/orthanc-plugin.md",
        )
    else:
        yield ok("orthanc-plugin", "a study cannot be read without showing something")
    if facts.open_routes:
        yield warning(
            "orthanc-open",
            f"these are open to everybody: {', '.join(facts.open_routes)}",
            "they tell of this Orthanc, or of what is in it",
            "take them out of UncheckedResources and UncheckedFolders, or close them in the proxy;"
            " `stone-webviewer` opens /system",
        )
    else:
        yield ok("orthanc-open", "no route that tells of its contents is open to everybody")
    if facts.lookup:
        yield note(
            "orthanc-lookup",
            "anybody can ask whether it has a study or a patient (POST /tools/lookup)",
            "the plugin leaves that open; it takes a UID or a PatientID to ask",
            "close it in the proxy, if nothing needs it",
        )


def reads(facts: Facts) -> Iterator[Finding]:
    """Whether a link opens what it is to open, and no more."""
    study, web, patient = facts.reads.values()
    if study != _OK:
        yield warning(
            "orthanc-link-reads",
            f"a link does not open its study (status {study})",
            "viewers that Orthanc serves show nothing to whoever has a link",
            'is "CheckedLevel" "studies"? Is the study without label, and is Keyhole reached?',
        )
    else:
        yield ok("orthanc-link-reads", "a link opens its study")
    if web != _OK:
        yield warning(
            "orthanc-link-dicomweb",
            f"a link does not open its study through DICOMweb (status {web})",
            "OHIF and Stone show nothing to whoever has a link",
            'is "DicomWeb.Root" "/dicom-web/", and is the plugin of DICOMweb loaded?',
        )
    else:
        yield ok("orthanc-link-dicomweb", "a link opens its study through DICOMweb, below /dicom-web/")
    if patient == _OK:
        yield error(
            "orthanc-link-beyond",
            "a link to a study opens its patient as well",
            "whoever has the link sees the patient's other studies",
            'set "CheckedLevel" to "studies"',
        )


def writes(facts: Facts) -> Iterator[Finding]:
    """Whether a link can change anything. Whatever is not a clear refusal is told."""
    done = [what for what, status in facts.writes.items() if 200 <= status < 300]  # noqa: PLR2004 - done
    unclear = [what for what, status in facts.writes.items() if what not in done and status not in _REFUSALS]
    if done:
        yield error(
            "orthanc-link-writes",
            f"whoever has a link to a study can {', '.join(done)}",
            "the plugin cannot make a link read-only by itself",
            _CLOSED,
        )
    elif unclear:
        yield warning(
            "orthanc-link-writes",
            f"whether whoever has a link can {', '.join(unclear)} is not clear: Orthanc was asked, and failed",
            "the way in is not closed to writing: such a request got as far as Orthanc",
            _CLOSED,
        )
    else:
        yield ok("orthanc-link-writes", "whoever has a link to a study can change nothing")
