"""What the plugin asks for one request, in its order, and whether Orthanc then sees the request."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from tests.servers.plugin.table import Entry, entry_of, unchecked

FORBIDDEN = 403
_TOKEN_HEADERS = ("authorization", "token")
_SPELT = {"authorization": "Authorization", "token": "token"}
_PERMISSIONS = 15
_METHODS = {"GET": "get", "HEAD": "get", "OPTIONS": "get", "POST": "post", "PUT": "put", "DELETE": "delete"}
_REST = re.compile(r"/(patients|studies|series|instances)/([0-9a-f]{8}(?:-[0-9a-f]{8}){4})(?:/.*)?")
_WADO = re.compile(r"/dicom-web/studies/([0-9.]+)(?:/.*)?")
_QIDO = re.compile(r"/dicom-web/(studies|series|instances)")
_UNFILTERED = "/dicom-web/studies"

Body = Mapping[str, Any] | None
Ask = Callable[[str, str, Mapping[str, str], Body], Awaitable[tuple[int, Any]]]
"""Asks the web service: method, path below its root, more headers, body; returns the status and the JSON there is."""


@dataclass(frozen=True)
class Study:
    """A study as Orthanc knows it."""

    orthanc_id: str
    uid: str
    labels: tuple[str, ...] = ()


class Orthanc(Protocol):
    """What the plugin looks up in the Orthanc that it is part of."""

    async def study_of(self, level: str, orthanc_id: str) -> Study | None:
        """The study that a resource is or lies in; None for patients and for what is not there."""

    async def studies_with(self, uid: str) -> Sequence[Study]:
        """The studies of this StudyInstanceUID: more than one when several patients have it."""


@dataclass(frozen=True)
class Token:
    """A token as it was shown."""

    key: str
    value: str
    header: bool

    @property
    def fields(self) -> dict[str, str]:
        return {"token-key": self.key, "token-value": self.value}


@dataclass(frozen=True)
class Verdict:
    """What becomes of a request. ``studies``: a search is narrowed to these. ``answer``: the plugin's own."""

    status: int | None = None
    studies: frozenset[str] | None = None
    labels: frozenset[str] | None = None
    answer: Any = None

    @property
    def passes(self) -> bool:
        """Whether Orthanc sees the request."""
        return self.status is None


_REFUSED = Verdict(FORBIDDEN)


class NotAnswered(Exception):
    """The web service answered with something that the plugin takes for a failure: Orthanc closes the connection."""


@dataclass
class Plugin:
    """The model. ``asked`` holds every question that was sent, in order: method, path, headers, body."""

    ask_service: Ask
    orthanc: Orthanc
    clock: Callable[[], float]
    server_id: str | None = None
    asked: list[tuple[str, str, Mapping[str, str], Body]] = field(default_factory=list)
    _cache: dict[tuple[str, ...], tuple[float | None, Any]] = field(default_factory=dict)

    async def judge(self, method: str, target: str, headers: Mapping[str, str], body: Any = None) -> Verdict:
        """What becomes of the request *method* *target*; *body* is its JSON, where the plugin looks at it."""
        parts = urlsplit(target)
        path, query = parts.path, parse_qsl(parts.query, keep_blank_values=True)
        tokens = _tokens(headers, query)
        if unchecked(method, path):
            return await self._unchecked(path, tokens)
        passed = await self._filter(method, path, query, tokens)
        if not passed:
            return _REFUSED
        if path.startswith("/auth/"):
            return await self._own(method, path, body)
        if path.startswith("/dicom-web/") and method in ("GET", "HEAD"):
            return await self._find(path, query, [token for token in tokens if token.header])
        return Verdict()

    # -- the filter

    async def _filter(self, method: str, path: str, query: list[tuple[str, str]], tokens: list[Token]) -> bool:
        entry = entry_of(method, path)
        if entry is not None:
            by_permission = None
            for token in tokens or [Token("", "", header=False)]:
                by_permission = await self._permitted(entry, await self._profile(token), path)
            if by_permission is not None:
                return by_permission
        study = await self._named(path, query)
        asked = _METHODS.get(method, "put")
        granted = study is not None and await self._granted(study, asked, tokens, study.labels)
        # This very path is let through all the same: the search within narrows it, or refuses.
        return granted or (method == "GET" and path == _UNFILTERED)

    async def _permitted(self, entry: Entry, profile: Mapping[str, Any], path: str) -> bool | None:
        """True and False are final; None: no permission, so the tokens are asked about."""
        if not entry.permissions:
            return True
        if not entry.permissions & set(profile["permissions"]):
            return None
        labels = set(profile["authorized-labels"])
        if "*" in labels:
            return True
        if entry.every_label:
            return False
        study = await self._named(path, [])
        return True if study is None else bool(labels & set(study.labels))

    async def _named(self, path: str, query: list[tuple[str, str]]) -> Study | None:
        """The study that the checked level finds in a request."""
        if match := _REST.fullmatch(path):
            return None if match[1] == "patients" else await self.orthanc.study_of(match[1], match[2])
        uid = match[1] if (match := _WADO.fullmatch(path)) else _single(query) if _QIDO.fullmatch(path) else None
        if uid is None:
            return None
        found = await self.orthanc.studies_with(uid)
        return found[0] if len(found) == 1 else None

    async def _granted(self, study: Study, method: str, tokens: list[Token], labels: tuple[str, ...]) -> bool:
        """Whether one of the tokens, or nobody, may do *method* to *study*."""
        for token in tokens or [None]:
            if await self._valid(study, method, token, labels):
                return True
        return False

    # -- what runs inside a search

    async def _find(self, path: str, query: list[tuple[str, str]], tokens: list[Token]) -> Verdict:
        """DICOMweb calls /tools/find within Orthanc, with the client's headers but without its query."""
        profile = await self._profile(tokens[0] if tokens else Token("Authorization", "", header=True))
        labels = frozenset(profile["authorized-labels"])
        if labels and {"view", "all"} & set(profile["permissions"]):
            return Verdict(labels=None if "*" in labels else labels)
        uid = match[1] if (match := _WADO.fullmatch(path)) else _single(query)
        if uid is not None:
            found = await self.orthanc.studies_with(uid)
            passes = len(found) == 1 and await self._granted(found[0], "post", tokens, ())
            return Verdict(studies=frozenset({uid})) if passes else _REFUSED
        if not tokens:
            return _REFUSED
        resources = (await self._decoded(tokens[0].key, tokens[0].value)).get("resources") or []
        studies = frozenset(resource["dicom-uid"] for resource in resources)
        return Verdict(studies=studies) if studies else _REFUSED

    # -- routes of the plugin's own, and of the Explorer's

    async def _unchecked(self, path: str, tokens: list[Token]) -> Verdict:
        if path == "/ui/api/configuration":
            roles = await self._send("GET", "/settings/roles", None)
            profile = await self._profile(tokens[0] if tokens else Token("Authorization", "", header=True))
            return Verdict(200, answer={"roles": roles, "profile": profile})
        if path == "/auth/user/profile":
            profile = await self._profile(tokens[0] if tokens else Token("Authorization", "", header=True))
            shown = ("name", "permissions", "groups", "authorized-labels", "user-id")
            return Verdict(200, answer={name: profile[name] for name in shown if profile.get(name)})
        return Verdict()

    async def _own(self, method: str, path: str, body: Any) -> Verdict:
        if path == "/auth/tokens/decode":
            found = await self._decoded(body["TokenKey"], body["TokenValue"])
            return Verdict(200, answer=_for_the_browser(found))
        if path.startswith("/auth/tokens/"):
            return await self._create(path.rpartition("/")[2], body)
        if path == "/auth/settings/permissions":
            return Verdict(200, answer=[f"permission-{number}" for number in range(_PERMISSIONS)])
        sent = None if method == "GET" else {**body, "server-id": self.server_id}
        status, answer = await self._asked(method, "/settings/roles", {}, sent)
        if method == "PUT" and not 200 <= status < 300:  # any JSON will do, null as well
            return Verdict(500)
        return Verdict(200, answer=answer)

    async def _create(self, kind: str, body: Mapping[str, Any]) -> Verdict:
        question: dict[str, Any] = {"server-id": self.server_id, "type": kind}
        if body.get("ID"):
            question["id"] = body["ID"]
        names = (("dicom-uid", "DicomUid"), ("orthanc-id", "OrthancId"), ("url", "Url"), ("level", "Level"))
        question["resources"] = [
            {ours: resource[theirs] for ours, theirs in names if resource.get(theirs)} for resource in body["Resources"]
        ]
        if body.get("ExpirationDate"):
            question["expiration-date"] = body["ExpirationDate"]
        # Uninitialised memory when the client gives none: as recorded.
        question["validity-duration"] = body.get("ValidityDuration", 94881346242483)
        status, answer = await self._asked("PUT", f"/tokens/{kind}", {}, question)
        if not _answered(status, answer):
            raise NotAnswered(status)
        return Verdict(200, answer={"Token": answer["token"], "Url": answer.get("url"), "Request": body})

    # -- questions

    async def _profile(self, token: Token) -> Mapping[str, Any]:
        async def ask() -> tuple[Any, int | None]:
            status, answer = await self._asked("POST", "/user/get-profile", {}, {**server, **token.fields})
            validity = answer.get("validity") if isinstance(answer, Mapping) else None
            if not _answered(status, answer) or not _natural(validity) or "name" not in answer:
                return {"permissions": [], "authorized-labels": []}, None
            return answer, validity or -1

        server = {"server-id": self.server_id}
        return await self._cached(("profile", token.key, token.value), ask)  # type: ignore[no-any-return]

    async def _valid(self, study: Study, method: str, token: Token | None, labels: tuple[str, ...]) -> bool:
        question: dict[str, Any] = {
            "method": method,
            "level": "study",
            "orthanc-id": study.orthanc_id,
            "dicom-uid": study.uid,
            "server-id": self.server_id,
        }
        more: dict[str, str] = {}
        if token is not None:
            question |= token.fields
            more = {} if token.key == "Authorization" or not token.value else {token.key: token.value}
        if labels:
            question["labels"] = list(labels)

        async def ask() -> tuple[Any, int | None]:
            status, answer = await self._asked("POST", "/tokens/validate", more, question)
            right = _answered(status, answer) and isinstance(answer.get("granted"), bool)
            if not right or not _natural(answer.get("validity", 0)):
                return False, None
            return answer["granted"], answer.get("validity", 0) or None

        name = ("anonymous",) if token is None else (token.key, token.value)
        return bool(await self._cached(("validate", method, study.orthanc_id, *name), ask))

    async def _decoded(self, key: str, value: str) -> Mapping[str, Any]:
        answer = await self._send("POST", "/tokens/decode", {"token-key": key, "token-value": value})
        if answer is None:
            raise NotAnswered
        return answer  # type: ignore[no-any-return]

    async def _send(self, method: str, path: str, body: Body) -> Any:
        status, answer = await self._asked(method, path, {}, body)
        return answer if _answered(status, answer) else None

    async def _asked(self, method: str, path: str, more: Mapping[str, str], body: Body) -> tuple[int, Any]:
        self.asked.append((method, path, more, body))
        return await self.ask_service(method, path, more, body)

    async def _cached(self, name: tuple[str, ...], ask: Callable[[], Awaitable[tuple[Any, int | None]]]) -> Any:
        """The answer to a question, asked again when its time is over. A time of None is not kept, -1 for ever."""
        if name in self._cache:
            until, answer = self._cache[name]
            if until is None or self.clock() < until:
                return answer
        answer, validity = await ask()
        if validity is not None:
            self._cache[name] = (None if validity < 0 else self.clock() + validity, answer)
        return answer

    def forget(self, token: str) -> None:
        """Drop what is known about *token*, as if it had never been shown."""
        self._cache = {name: kept for name, kept in self._cache.items() if token not in " ".join(name)}


def _tokens(headers: Mapping[str, str], query: list[tuple[str, str]]) -> list[Token]:
    shown = {name.lower(): value for name, value in headers.items()}
    in_headers = [Token(_SPELT[name], shown[name], header=True) for name in _TOKEN_HEADERS if name in shown]
    return in_headers + [Token(name, value, header=False) for name, value in query if name == "token"]


def _single(query: list[tuple[str, str]]) -> str | None:
    """The StudyInstanceUID that a search names, if it names one."""
    values = [value for name, value in query if name.lower() in ("studyinstanceuid", "0020000d")]
    return values[0] if values and re.fullmatch(r"[0-9.]+", values[0]) else None


def _answered(status: int, answer: Any) -> bool:
    return 200 <= status < 300 and answer is not None


def _natural(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _for_the_browser(found: Mapping[str, Any]) -> dict[str, Any]:
    names = (("RedirectUrl", "redirect-url"), ("ErrorCode", "error-code"), ("TokenType", "token-type"))
    shown: dict[str, Any] = {theirs: found[ours] for theirs, ours in names if found.get(ours)}
    shown["ResourcesDicomIds"] = sorted(each["dicom-uid"] for each in found["resources"])
    shown["ResourcesOrthancIds"] = sorted(each["orthanc-id"] for each in found["resources"])
    return shown
