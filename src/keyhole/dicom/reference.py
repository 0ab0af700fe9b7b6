"""The reference page of routes, printed from the tables. A test keeps ``docs/reference/routes.md`` equal to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keyhole.dicom import dicomweb, orthanc
from keyhole.dicom.attribute import BY_KEYWORD
from keyhole.dicom.query import MOST_UIDS
from keyhole.dicom.route import Kind, Route

_HEAD = f"""# Routes

Printed from the tables in `keyhole.dicom`. A request that is in no row is refused. HEAD is answered as GET is, and
OPTIONS from the table itself. "in part": the answer is a list, which is cut to what the caller may see; anything else
needs the right to the whole resource.

A path is refused as `not-canonical` when it holds anything but letters, digits and `. _ - , /`, an empty segment, a
segment that ends with a dot, or a UID or number that is malformed. Nothing is normalised, and what goes to the archive
is built again from the row.

In a search, {len(BY_KEYWORD)} attributes are known by keyword, and any by eight hex digits. A name that nobody knows is
dropped. Refused as `bad-query`: an attribute that is repeated or spelt in another way, `_method`,
`emptyvaluematching`, `multiplevaluematching`, numbers that are not plain digits, UIDs that are none, lists of more than
{MOST_UIDS} UIDs, and values that hold `& = # % \\` or a control character.
"""


def page() -> str:
    """The whole page, as Markdown."""
    native = [route for route in orthanc.ROUTES if route.kind in {Kind.REST, Kind.LIST}]
    return "\n".join(
        [
            _HEAD,
            "## DICOMweb",
            "",
            "Below `/dicom-web` and `/v/<visit>/dicom-web` (PS3.18 sections 9 to 11).",
            "",
            *_table(dicomweb.ROUTES),
            "",
            "## Orthanc's REST API",
            "",
            f"The DICOMweb routes below `{orthanc.DICOMWEB_ROOT}`, and:",
            "",
            *_table(sorted(native, key=lambda route: (route.template, route.method))),
            "",
        ]
    )


def _table(routes: Iterable[Route]) -> Iterator[str]:
    yield "| method | path | action | in part |"
    yield "|---|---|---|---|"
    for route in routes:
        yield f"| {route.method} | `{route.template}` | {route.action} | {'yes' if route.divisible else ''} |"
