"""May somebody do something: the gateway's own judgement on a request that was not sent to it.

Who asks, what is asked and the decision come from where the gateway has them: what is said here to be allowed is what
it lets through, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from keyhole.access.decision import Ask, Decision, Deny, Reason
from keyhole.access.subject import ANONYMOUS
from keyhole.errors import ArchiveFailed
from keyhole.gateway import fault
from keyhole.gateway.client import LOCAL
from keyhole.gateway.identify import NOBODY, Holder, Identity, Standing
from keyhole.gateway.incoming import Incoming, incoming
from keyhole.gateway.question import Unasked, Understanding, understand
from keyhole.identity.credential import Headers


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody by name: ``key:…``, ``share:…`` (whoever has opened it) or ``visit:…``."""

    principal: str


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Whoever shows the credential in ``headers``; a cookie is shown below the pages of its ``visit`` alone."""

    headers: Headers
    visit: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as its client would send it: ``target`` is the raw path with its query.

    ``archive`` is the one that a path means which names none; what turns out to be of another is refused.
    """

    method: str
    target: str
    archive: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What would become of a request: the decision, about whom, and what of it was understood.

    ``detail`` says more about a refusal, in plain words.
    """

    decision: Decision
    about: str
    holder: Holder = NOBODY
    ask: Ask | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """One per process. Raises Stale when what it rests on cannot be confirmed: nothing is decided then."""

    identity: Identity
    understanding: Understanding
    now: Callable[[], datetime]

    async def judge(self, who: Named | Shown | Holder, sent: Sent) -> Judgement:
        """What would become of the request *sent* by *who*; by a holder who has not come in by any credential, too."""
        request = _request(sent)
        about = who.principal if isinstance(who, Named) else ANONYMOUS.name
        standing = await self._standing(who, request)
        if isinstance(standing, Deny):
            return Judgement(standing, about)
        try:
            return await self._judged(standing, request, sent.archive)
        except ArchiveFailed as error:
            return Judgement(Deny(fault.named(error)), standing.holder.subject.name, standing.holder)

    async def _standing(self, who: Named | Shown | Holder, request: Incoming) -> Standing | Deny:
        match who:
            case Named():
                return await self._named(who, request)
            case Shown():
                return await self._shown(who, request)
            case Holder():
                return Standing(who, None)

    async def _judged(self, standing: Standing, request: Incoming, archive: str | None) -> Judgement:
        holder, about = standing.holder, standing.holder.subject.name
        meant = self.understanding if archive is None else replace(self.understanding, default_archive=archive)
        if standing.ended is not None:
            # Nothing is looked up for whom nothing is open, here or in the gateway.
            ask = understand(request, holder, meant.default_archive).ask
            return Judgement(Deny(standing.ended), about, holder, ask)
        question = await meant(request, holder)
        if isinstance(question, Unasked):
            return Judgement(Deny(question.reason), about, holder, question.ask, question.detail)
        if archive not in (None, question.ask.resource.archive):
            return Judgement(Deny(Reason.NO_GRANT), about, holder, question.ask, "this is of another archive")
        return Judgement(question.decided(holder, self.now()), about, holder, question.ask)

    async def _shown(self, who: Shown, request: Incoming) -> Standing | Deny:
        headers = who.headers if who.visit in (None, request.visit) else ()
        found = await self.identity.holder(headers, request.visit)
        if isinstance(found, Deny):
            return found
        return Deny(Reason.NO_CREDENTIAL) if found is NOBODY else Standing(found, None)

    async def _named(self, who: Named, request: Incoming) -> Standing | Deny:
        """Below the pages of a visit there is only that visit: it may be named by its share as well."""
        standing = await self.identity.standing(who.principal)
        if standing is None:
            return Deny(Reason.BAD_CREDENTIAL)
        if request.visit is None:
            return standing
        visit = await self.identity.standing(f"visit:{request.visit}")
        if visit is None or who.principal not in visit.holder.subject.principals:
            return Deny(Reason.BAD_CREDENTIAL)
        return visit


def _request(sent: Sent) -> Incoming:
    # Whatever was typed or sent is bytes; what is no text is no path either, and is refused as such.
    path, _, query = sent.target.encode("utf-8", "surrogatepass").partition(b"?")
    scope = {"method": sent.method, "raw_path": path, "query_string": query, "headers": ()}
    return incoming(scope, lambda _: LOCAL)
