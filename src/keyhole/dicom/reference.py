"""The reference page of routes, printed from the tables. A test keeps ``docs/reference/routes.md`` equal to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keyhole.dicom import dicomweb, orthanc, orthanc_call
from keyhole.dicom.attribute import BY_KEYWORD
from keyhole.dicom.orthanc_call import Body, call_of
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


_WADO_URI = """\
`GET /wado` (WADO-URI, section 9) is understood as one of these rows and forwarded as such: `contentType` with
`application/dicom` is the whole instance, anything else that can be had `rendered`, or `frames/…/rendered` with
`frameNumber`. `requestType`, `studyUID`, `seriesUID` and `objectUID` are needed, once each. `rows`, `columns`,
`windowCenter`, `windowWidth`, `imageQuality` and `annotation` mean what they say for pictures, and `transferSyntax` for
whole instances; `anonymize`, `region` and presentation states are refused."""

_ORTHANC = f"""\
The DICOMweb routes below `{orthanc.DICOMWEB_ROOT}`, and the rows below. "open": below `/orthanc` and
`/archives/<name>/orthanc`, for bearers, where `KEYHOLE_ARCHIVE_ORTHANC` names Orthanc's REST API, with the parameters
that are taken there; others are dropped, and a parameter that is repeated is refused. What is not open is known for the
decisions asked by Orthanc's Authorization plugin alone."""


def page() -> str:
    """The whole page, as Markdown."""
    native = [route for route in orthanc.ROUTES if route.kind in {Kind.REST, Kind.LIST}]
    return "\n".join(
        [
            _HEAD,
            "## DICOMweb",
            "",
            "Below `/v/<visit>/dicom-web`, and for bearers below `/dicom-web` and `/archives/<name>/dicom-web`",
            "(PS3.18 sections 9 to 11).",
            "",
            *_table(dicomweb.ROUTES),
            "",
            _WADO_URI,
            "",
            "## Orthanc's REST API",
            "",
            _ORTHANC,
            "",
            *_calls(sorted(native, key=lambda route: (route.template, route.method))),
            "",
        ]
    )


def _table(routes: Iterable[Route]) -> Iterator[str]:
    yield "| method | path | action | in part |"
    yield "|---|---|---|---|"
    for route in routes:
        yield f"| {route.method} | `{route.template}` | {route.action} | {'yes' if route.divisible else ''} |"


def _calls(routes: Iterable[Route]) -> Iterator[str]:
    yield "| method | path | action | in part | open | parameters | body |"
    yield "|---|---|---|---|---|---|---|"
    for route in routes:
        row = f"| {route.method} | `{route.template}` | {route.action} | {'yes' if route.divisible else ''} |"
        if route not in orthanc_call.ROUTES:
            yield f"{row} | | |"
            continue
        call = call_of(route)
        names = ", ".join(f"`{name}`" for name in sorted(call.readers))
        yield f"{row} yes | {names} | {'' if call.body is Body.NOTHING else call.body} |"
