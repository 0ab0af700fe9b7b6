"""Bodies that two readers take for two things: whoever looks at one on its way sees what we see, or we refuse it."""

from __future__ import annotations

import pytest

from tests.asgi import Caller
from tests.web.openings import Memory

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
BODIES = {
    "JSON": (JSON, '{{"secret": "{other}", "secret": "{secret}"}}'),
    "JSON, by another spelling": (JSON, '{{"secret": "{other}", "s\\u0065cret": "{secret}"}}'),
    "JSON, the same twice": (JSON, '{{"secret": "{secret}", "secret": "{secret}"}}'),
    "JSON, of another kind": (JSON, '{{"secret": "{secret}", "secret": null}}'),
    "JSON, within a field": (JSON, '{{"secret": "{secret}", "x": [{{"a": 1, "a": 2}}]}}'),
    "a form": (FORM, "secret={other}&secret={secret}"),
    "a form, by another spelling": (FORM, "secret={other}&s%65cret={secret}"),
}


@pytest.mark.parametrize(("kind", "body"), BODIES.values(), ids=BODIES)
async def test_a_field_that_is_given_twice_opens_nothing(caller: Caller, memory: Memory, kind: str, body: str) -> None:
    (share, secret), (_, other) = memory.share(), memory.share()
    sent = body.format(secret=secret, other=other).encode()
    answer = await caller.call("POST", f"/s/{share.id}/visits", {"content-type": kind}, [sent])
    assert answer.status == 400
    once = {"content-type": JSON}, [f'{{"secret": "{secret}", "x": [{{"a": 1}}, {{"a": 2}}]}}'.encode()]
    assert (await caller.call("POST", f"/s/{share.id}/visits", *once)).status == 201
