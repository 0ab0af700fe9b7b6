"""The staff listener's JSON API. It decides nothing: the door tells who asks, the desk does what may be done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from keyhole.access.resource import Resource
from keyhole.access.share import ShareChange
from keyhole.access.subject import Subject
from keyhole.errors import KeyholeError
from keyhole.gateway.client import Client, client_of
from keyhole.gateway.decisions import Decisions
from keyhole.gateway.desk import Desk, ShareOrder
from keyhole.gateway.letter.content import PLAIN, Letterhead
from keyhole.gateway.letters import Letters
from keyhole.gateway.mailroom import Mailroom
from keyhole.web import decisions, letters, mails, shapes, share_openings, studies, trouble
from keyhole.web import share_shapes as shares
from keyhole.web import who_can as reaching
from keyhole.web.door import OPENAPI, Door, Identity, Refuse
from keyhole.web.trouble import Problem

LARGEST_BODY = 64 * 1024
"""Bytes of a request's body; a share of 100 studies takes 7 000."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, from where, at which desk, and when."""

    desk: Desk
    decisions: Decisions
    subject: Subject
    client: Client
    archive: str
    """The archive that is meant when none is named."""
    now: datetime
    letters: Letters


def _asking(request: Request) -> Asking:
    state = request.app.state
    client, now = client_of(request.scope), state.desk.now()
    return Asking(state.desk, state.decisions, request.state.subject, client, state.archive, now, state.letters)


Asks = Annotated[Asking, Depends(_asking)]
ShareId = Annotated[shapes.Id, Path(description="the id of the share")]

_PROBLEM = {"model": Problem, "description": "What went wrong (RFC 9457)"}

routes = APIRouter(
    prefix="/api/v1",
    responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    dependencies=[Depends(HTTPBearer(auto_error=False, bearerFormat="khk_<key>_<value>", description="an API key"))],
)


@routes.post("/shares", status_code=201, tags=["shares"], summary="Share studies by link")
async def create_share(asks: Asks, wanted: shares.NewShare, response: Response) -> shares.SentShare:
    """Needs the right to share, and to see what is shared. The link is in the answer.

    One share has one link: make one for each recipient, and the trail tells who opened which. When links need a
    condition here and none is named, the problem says which would do.
    """
    wishes, made = wanted.wishes()
    order = ShareOrder(
        archive=wanted.archive or asks.archive,
        resources=wanted.resources,
        expires_at=_end(wanted, asks.now) or asks.desk.policy.end(asks.now),
        kind=wanted.allows,
        not_before=wanted.not_before,
        max_visits=wanted.max_visits,
        note=wanted.note,
        recipient=wanted.recipient,
        wishes=wishes,
        forced=bool(wanted.force),
        priors=wanted.wanted_priors,
        patient=None if wanted.patient is None else wanted.patient.asked(),
        mail_to=wanted.mail_to,
        notify=wanted.notify,
        language=wanted.language,
    )
    share = await asks.desk.create_share(asks.subject, order, asks.client)
    response.headers["location"] = f"/api/v1/shares/{share.id}"
    return shares.SentShare.sent(share, asks.now, asks.desk.link(share), made)


def _end(wanted: shares.NewShare | shares.Change, now: datetime) -> datetime | None:
    return wanted.expires_at if wanted.lasts is None else now + wanted.lasts


@routes.get("/shares", tags=["shares"], summary="List shares")
async def list_shares(asks: Asks, page: Annotated[shares.SharePage, Query()]) -> shares.ShareList:
    """The shares that this key made or could have made, newest first."""
    # One more than asked for tells whether there is a next page.
    found = await asks.desk.shares(asks.subject, study=page.study, after=page.after, limit=page.limit + 1)
    shown = found[: page.limit]
    return shares.ShareList(
        shares=tuple(shares.ShownShare.of(share, asks.now) for share in shown),
        next=shown[-1].id if len(found) > len(shown) else None,
    )


@routes.get("/shares/{share}", tags=["shares"], summary="Show a share")
async def show_share(asks: Asks, share: ShareId) -> shares.ShownShare:
    """Without its link: ask for that by itself."""
    return shares.ShownShare.of(await asks.desk.share(asks.subject, share, asks.client), asks.now)


@routes.get("/shares/{share}/link", tags=["shares"], summary="Show the link of a share again")
async def show_link(asks: Asks, share: ShareId) -> shares.Link:
    """That it was shown is on the trail."""
    return shares.Link(link=await asks.desk.show_link(asks.subject, share, asks.client))


@routes.get(
    "/shares/{share}/qr",
    tags=["shares"],
    summary="Show the link of a share as a QR code",
    response_class=Response,
    responses=letters.QR_CODE,
)
async def show_qr_code(asks: Asks, share: ShareId, wanted: Annotated[letters.QrQuery, Query()]) -> Response:
    """As the link itself: that it was shown is on the trail."""
    code = await asks.letters.qr(asks.subject, share, wanted.format, asks.client)
    return letters.picture(code, wanted.format)


@routes.get(
    "/shares/{share}/letter",
    tags=["shares"],
    summary="Print the letter to the recipient of a share",
    response_class=Response,
    responses=letters.LETTER,
)
async def print_letter(asks: Asks, share: ShareId, wanted: Annotated[letters.LetterQuery, Query()]) -> Response:
    """For a share with a code for paper: `paper` when it is made, or later. That it was printed is on the trail."""
    printed = await asks.letters.letter(asks.subject, share, wanted.paper, wanted.language, asks.client)
    return letters.document(printed)


@routes.patch("/shares/{share}", tags=["shares"], summary="Renew or change a share")
async def change_share(asks: Asks, share: ShareId, wanted: shares.Change) -> shares.SentShare:
    """All of it or nothing. A new link ends the present one; visits that have begun go on.

    Conditions are added to those there are; a passcode replaces the one before.
    """
    wishes, made = wanted.wishes()
    change = ShareChange(
        expires_at=_end(wanted, asks.now),
        not_before=wanted.not_before,
        more_visits=wanted.more_visits or 0,
        recipient=wanted.recipient,
        note=wanted.note,
        new_link_key=asks.desk.new_link().new_link_key if wanted.new_link else None,
        mail_to=wanted.mail_to,
        notify=wanted.notify,
        language=wanted.language,
    )
    changed = await asks.desk.change_share(asks.subject, share, change, asks.client, wishes)
    link = asks.desk.link(changed) if wanted.new_link else None
    return shares.SentShare.sent(changed, asks.now, link, made)


@routes.delete("/shares/{share}", status_code=204, tags=["shares"], summary="Withdraw a share")
async def withdraw_share(asks: Asks, share: ShareId) -> None:
    """Its link opens nothing any more, and running visits end within a second. Done twice, it stays as it was."""
    held = await asks.desk.share(asks.subject, share, asks.client)
    if held.withdrawn_at is None:
        await asks.desk.change_share(asks.subject, share, ShareChange(withdrawn_at=asks.now), asks.client)


@routes.get("/shares/{share}/timeline", tags=["shares"], summary="Show what happened with a share")
async def show_timeline(asks: Asks, share: ShareId) -> shapes.Timeline:
    """Oldest first: made, changed, opened, looked at, refused."""
    rows = await asks.desk.timeline(asks.subject, share, asks.client)
    return shapes.Timeline(events=tuple(map(shapes.Happening.of, rows)))


@routes.get("/shares/{share}/visits", tags=["shares"], summary="Show the openings of a share")
async def show_visits(asks: Asks, share: ShareId) -> share_openings.OpeningList:
    """Oldest first: when, from where, what was looked at and what was downloaded, a few seconds late."""
    held = await asks.desk.share(asks.subject, share, asks.client)
    return share_openings.OpeningList.of(await asks.desk.timeline(asks.subject, share, asks.client), held)


@routes.get("/shares/{share}/mails", tags=["shares"], summary="Show the mails about a share")
async def show_mails(asks: Asks, share: ShareId) -> shares.MailList:
    """Oldest first: those that were sent, those that wait, and those that could not be sent, with why."""
    found = await asks.desk.mails(asks.subject, share, asks.client)
    return shares.MailList(mails=tuple(map(shares.SentMail.of, found)))


@routes.post("/shares/{share}/mails", status_code=202, tags=["shares"], summary="Mail the link of a share")
async def mail_link(asks: Asks, share: ShareId, wanted: mails.NewMail) -> shares.SentMail:
    """It waits until a mail server has taken it. Needs the same right as to be shown the link, and is on the trail.

    At most 30 at once, and one more in 20 seconds; what is too much is refused with 429 and `Retry-After`.
    """
    return shares.SentMail.of(await Mailroom(asks.desk).send_link(asks.subject, share, wanted.to, asks.client))


@routes.post("/visits", status_code=201, tags=["visits"], summary="Open studies at once")
async def prepare_visit(asks: Asks, wanted: shapes.NewVisit) -> shapes.PreparedVisit:
    """Answers an address for a browser: good for one opening, within 60 seconds."""
    archive = wanted.archive or asks.archive
    visit, url = await asks.desk.prepare_visit(asks.subject, archive, wanted.studies, asks.client)
    return shapes.PreparedVisit(visit=visit.id, url=url, expires_at=visit.ends_at)


@routes.get("/studies", tags=["studies"], summary="Search the studies that this key may see")
async def find_studies(asks: Asks, wanted: Annotated[shapes.StudySearch, Query()]) -> shapes.StudyList:
    """In plain names; the DICOMweb root of the public listener answers the same in DICOM JSON."""
    archive = wanted.archive or asks.archive
    found = await asks.desk.find_studies(asks.subject, archive, studies.query(wanted), asks.client)
    return shapes.StudyList(studies=[studies.plain(item) for item in found])


@routes.get("/studies/{study}/who-can", tags=["studies"], summary="List who can reach a study")
async def who_can(
    asks: Asks,
    study: Annotated[shapes.UID, Path(description="StudyInstanceUID")],
    wanted: Annotated[reaching.WhoCanQuery, Query()],
) -> reaching.Reaching:
    """Needs the right to audit. Every live grant with its cause; that it was asked is on the trail."""
    resource = Resource.of(wanted.archive or asks.archive, study)
    return reaching.Reaching.of(await asks.desk.who_can(asks.subject, resource, wanted.action, asks.client))


@routes.post("/decisions", tags=["decisions"], summary="Ask what others may do")
async def decide(asks: Asks, wanted: decisions.Questions) -> decisions.Answers:
    """Needs the right to ask. An answer says what the gateway would do at this moment: rely on it for 1 s at most.

    At most 100 questions a second in the long run; what is too much is refused with 429 and `Retry-After`.
    """
    asked = [(question.who, question.sent) for question in wanted.questions]
    found = await asks.decisions.judged(asks.subject, asked, asks.client)
    return decisions.Answers(at=asks.now, decisions=[decisions.Answer.of(each) for each in found])


async def _broken(_: Request, error: Exception) -> Response:
    known = error if isinstance(error, KeyholeError) else KeyholeError()
    return trouble.of_error(known).response(trouble.headers_of(known))


async def _wrong_fields(_: Request, error: Exception) -> Response:
    return trouble.of_fields(error.errors() if isinstance(error, RequestValidationError) else ()).response()


async def _framework(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = {"allow": ", ".join(_methods(request.scope["path"]))} if status == HTTPStatus.METHOD_NOT_ALLOWED else None
    return trouble.of_status(status).response(headers)


def _methods(path: str) -> list[str]:
    """All methods at *path*; the framework names those of one route only."""
    found = (route for route in routes.routes if isinstance(route, APIRoute) and route.path_regex.fullmatch(path))
    return sorted({method for route in found for method in route.methods or ()})


def staff(
    desk: Desk, asked: Decisions, identity: Identity, refuse: Refuse, archive: str, head: Letterhead = PLAIN
) -> ASGIApp:
    """The staff listener's application. *archive* is meant when none is named; *head* stands above letters."""
    app = _describe(_application())
    app.state.letters = Letters(desk, head)
    app.state.desk, app.state.decisions, app.state.archive = desk, asked, archive
    return Door(app, identity, refuse, desk.now, LARGEST_BODY)


def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    return _describe(_application()).openapi()


def _application() -> FastAPI:
    return FastAPI(
        title="Keyhole",
        summary="Let someone see one study, and nothing else.",
        version=version("keyhole"),
        openapi_url=OPENAPI,
        docs_url=None,  # its pages load scripts of another site
        redoc_url=None,
        redirect_slashes=False,
        max_body_size=LARGEST_BODY,
        generate_unique_id_function=lambda route: route.name,
        exception_handlers={
            KeyholeError: _broken,
            RequestValidationError: _wrong_fields,
            HTTPException: _framework,
            Exception: _broken,
        },
    )


def _describe(app: FastAPI) -> FastAPI:
    """Take the routes in, and let the OpenAPI document tell the media type that problems really have."""
    app.include_router(routes)
    for operations in app.openapi()["paths"].values():
        for operation in operations.values():
            for status in ("4XX", "5XX"):
                content = operation["responses"][status]["content"]
                content[trouble.MEDIA_TYPE] = content.pop("application/json")
    return app
