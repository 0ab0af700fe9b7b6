"""What the facts about archives mean."""

from __future__ import annotations

from collections.abc import Iterator

from keyhole.gateway.capabilities_file import Probed
from keyhole.operations.doctor.archives import ArchiveFacts, Door, FolderHolds
from keyhole.operations.doctor.finding import Finding, error, many, note, ok, warning

_EVERYTHING = "every study in it, around Keyhole: no link, no end, nothing on the trail"
_ORTHANC_ADVICE = (
    'in Orthanc\'s configuration: "AuthenticationEnabled": true, with "RegisteredUsers"; and "RemoteAccessAllowed": '
    "false where nothing but this machine asks it"
)
_ADVICE = "let the archive ask for credentials, and let nobody but Keyhole reach its port"
_COMMANDS = "is it running, and is KEYHOLE_ARCHIVE its DICOMweb root?"


def strangers(facts: ArchiveFacts) -> Iterator[Finding]:
    """Whether whoever reaches the archive needs credentials, and who reaches it."""
    outside = [door for door in facts.beyond if door.open]
    inside = [door for door in facts.doors if door.open]
    advice = _ORTHANC_ADVICE if facts.orthanc else _ADVICE
    if outside or (inside and not facts.local):
        yield error(
            "archive-open",
            f"archive {facts.name} answers without credentials, to other machines: {_told(outside or inside)}",
            f"whoever reaches that address on the network sees {_EVERYTHING}",
            advice,
        )
    elif inside:
        yield warning(
            "archive-open",
            f"archive {facts.name} answers without credentials, on this machine's loopback: {_told(inside)}",
            f"every user and program of this machine sees {_EVERYTHING}",
            advice,
        )
    elif any(door.heard is not None for door in facts.doors):
        yield ok("archive-open", f"archive {facts.name} refuses who shows no credentials")
    else:
        yield note(
            "archive-open",
            f"whether archive {facts.name} answers without credentials cannot be told: {facts.doors[0].why}",
            "nothing answered there to be asked",
        )
    if facts.beyond and not outside:
        yield note(
            "archive-beyond",
            f"archive {facts.name} can be reached from other machines as well: {_told(facts.beyond)}",
            "it refuses who shows no credentials; guessing them is all that it takes to go around Keyhole, but for an "
            'Orthanc with "RemoteAccessAllowed": false, which refuses everybody there',
            "bind it to 127.0.0.1, or close its port to all but Keyhole",
        )


def _told(doors: list[Door] | tuple[Door, ...]) -> str:
    return ", ".join(f"{door.what} at {door.url}" for door in doors)


def reachable(facts: ArchiveFacts) -> Iterator[Finding]:
    """Whether Keyhole itself is answered."""
    distrusted = next((door.why for door in facts.doors if door.untrusted), None)
    if facts.ours is None:
        yield ok("archive-answers", f"archive {facts.name} answers Keyhole's searches: {facts.root}")
    else:
        yield error(
            "archive-answers",
            f"archive {facts.name} does not answer Keyhole: {distrusted or facts.ours}: {facts.root}",
            "no image is shown, and nothing can be shared",
            "let this machine trust it: add its authority to the system's certificates" if distrusted else _COMMANDS,
        )


def orthanc(facts: ArchiveFacts) -> Iterator[Finding]:
    """Which Orthanc it is."""
    if facts.orthanc and facts.ours is None:
        yield ok("archive-orthanc", f"archive {facts.name} is Orthanc {facts.version or 'of an unknown version'}")


def able(facts: ArchiveFacts) -> Iterator[Finding]:
    """What the archive is able to do, and what Keyhole makes of it."""
    found = facts.probed
    if found is None:
        if facts.unprobed is not None:
            yield warning(
                "archive-abilities",
                f"what archive {facts.name} is able to do could not be found out: {facts.unprobed}",
                "searches are made as the last record says, or as most archives take them",
                "run keyhole doctor again when it is less busy",
            )
        return
    unable = [*_unable(facts.name, found)]
    yield from unable
    if found.parents is False:
        yield note(
            "archive-parents",
            f"archive {facts.name} gives out an image under a series or study that it is not in",
            "Keyhole looks up where an image belongs before it lets it through",
        )
    if not unable:
        yield ok("archive-abilities", f"archive {facts.name} is able to do all that Keyhole would have it do")


def _unable(name: str, found: Probed) -> Iterator[Finding]:
    if found.uid_lists is False:
        yield note("archive-lists", f"archive {name} takes no lists of UIDs", "it is asked study by study: slower")
    if found.relational is False:
        yield note(
            "archive-relational",
            f"archive {name} searches series and instances only below a study",
            "such searches are made study by study: slower",
        )
    if found.largest_page is not None:
        told = f"archive {name} answers with {found.largest_page} results at a time"
        yield note("archive-page", told, "it is asked page by page")
    if found.thumbnails is False:
        told = f"archive {name} makes no thumbnails"
        yield note("archive-thumbnails", told, "viewers that ask for them get small rendered pictures")


def folder(found: FolderHolds) -> Iterator[Finding]:
    """What a folder of DICOM files holds."""
    if found.studies is None:
        yield note(
            "folder",
            f"archive {found.name} is not indexed yet: {found.path}",
            "keyhole serve indexes it when it starts",
        )
        return
    studies = many(found.studies, "study", "studies")
    if found.studies:
        yield ok("folder", f"archive {found.name} holds {studies}: {found.path}")
    else:
        yield warning(
            "folder",
            f"archive {found.name} holds no study: {found.path}",
            "there is nothing to share",
            "is it the right folder, and may this user read it? See KEYHOLE_ARCHIVE",
        )
    if found.unreadable:
        yield note(
            "folder-unreadable",
            f"archive {found.name} has {many(found.unreadable, 'file')} that cannot be read as DICOM",
            "what is in them is not shown",
        )
    if found.mixed:
        yield warning(
            "folder-mixed",
            f"archive {found.name} has {many(found.mixed, 'study', 'studies')} whose files name several patients",
            "whoever is given such a study sees all of it",
            "look at it before you share it, and put the files right",
        )
