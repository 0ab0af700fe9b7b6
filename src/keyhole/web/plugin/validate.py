"""``POST tokens/validate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from keyhole.gateway.plugin.question import Question
from keyhole.gateway.plugin.validator import Granted, Validator, Verdict
from keyhole.web.plugin.call import Answer, Call, Route

_QUESTION = msgspec.json.Decoder(Question)
_MOST_ANSWERS = 256
_MOST_GRANTED = 5_000
_NO = Answer(b'{"granted":false,"validity":0}')
"""Of what cannot be read, or not be known now: Orthanc is to ask again."""


@dataclass(frozen=True, slots=True)
class Validate:
    """The handler."""

    validator: Validator
    _granted: dict[bytes, Granted] = field(default_factory=dict, repr=False)
    """By the very bytes of the question. These hold the token: they are found by a hash whose key nobody knows (PEP
    456), so that the time it takes tells nothing of what is here."""

    async def __call__(self, call: Call) -> Answer:
        """Whether the token may do what is asked, and for how long Orthanc may remember it."""
        granted = self._granted.get(call.body)
        verdict = None if granted is None else self.validator.again(call.caller, granted)
        return _answer(verdict or await self._asked(call))

    async def _asked(self, call: Call) -> Verdict:
        verdict, granted = await self.validator.answer(call.caller, call.read(_QUESTION))
        self._granted.pop(call.body, None)
        if granted is not None:
            self._granted[call.body] = granted
            if len(self._granted) > _MOST_GRANTED:
                del self._granted[next(iter(self._granted))]
        return verdict


@lru_cache(maxsize=_MOST_ANSWERS)
def _answer(verdict: Verdict) -> Answer:
    return Answer(msgspec.json.encode(verdict._asdict()))


def route(validator: Validator) -> Route:
    """Where it is mounted. A question is always answered, and what is not understood is no."""
    return Route(method="POST", path="tokens/validate", handler=Validate(validator), safe=_NO)
