"""``POST tokens/validate`` (facts: the web service, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from keyhole.gateway.plugin.question import Question
from keyhole.gateway.plugin.validator import Validator
from keyhole.web.plugin.call import Answer, Call, Route

_QUESTION = msgspec.json.Decoder(Question)
_NO = Answer(b'{"granted":false,"validity":0}')
"""Of what cannot be read, or not be known now: Orthanc is to ask again."""


@dataclass(frozen=True, slots=True)
class Validate:
    """The handler."""

    validator: Validator

    async def __call__(self, call: Call) -> Answer:
        """Whether the token may do what is asked, and for how long Orthanc may remember it."""
        return Answer(msgspec.json.encode(await self.validator.answer(call.caller, call.read(_QUESTION))))


def route(validator: Validator) -> Route:
    """Where it is mounted. A question is always answered, and what is not understood is no."""
    return Route(method="POST", path="tokens/validate", handler=Validate(validator), safe=_NO)
