"""``POST user/get-profile``."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from keyhole.gateway.plugin.profiles import Profiles, Told
from keyhole.sharing.token import bare
from keyhole.web.plugin.call import Answer, Call, Route

_NOBODY = "Anonymous"
_SOON = 1


class Asked(msgspec.Struct, rename="kebab", frozen=True):
    """The body, in any of its four shapes; a foreign server-id is nobody's here."""

    token_key: str | None = None
    token_value: str | None = None
    user_id: str | None = None
    server_id: str | None = None


_ASKED = msgspec.json.Decoder(Asked)


def _content(told: Told | None) -> dict[str, object]:
    user = None if told is None else told.user
    return {
        "name": _NOBODY if user is None else user.name,
        "user-id": None if user is None else user.id,
        "permissions": () if told is None else told.profile.permissions,
        "authorized-labels": () if told is None else told.profile.labels,
        "groups": () if user is None else user.groups,
        "validity": _SOON if told is None else told.validity,
    }


_NOTHING = Answer(msgspec.json.encode(_content(None)))
"""Of what cannot be read, or not be known now: nobody, and to be asked again soon."""

_NO_SUCH_USER = Answer(b"null")


@dataclass(frozen=True, slots=True)
class GetProfile:
    """The handler."""

    profiles: Profiles

    async def __call__(self, call: Call) -> Answer:
        """Who shows a token, or who has an id, and what they may do."""
        asked = call.read(_ASKED)
        if not call.caller.calls_itself(asked.server_id):
            return _NOTHING
        if asked.user_id and not asked.token_value:
            found = await self.profiles.of_id(call.caller, asked.user_id)
            return _NO_SUCH_USER if found is None else Answer(msgspec.json.encode(_content(found)))
        told = await self.profiles.of_token(call.caller, asked.token_key or "", bare(asked.token_value or ""))
        return Answer(msgspec.json.encode(_content(told)))


def route(profiles: Profiles) -> Route:
    """Where it is mounted. Orthanc Explorer 2 breaks without a profile: there always is one."""
    return Route(method="POST", path="user/get-profile", handler=GetProfile(profiles), safe=_NOTHING)
