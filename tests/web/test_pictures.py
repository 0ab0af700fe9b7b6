from __future__ import annotations

import gzip
import json
import re
from importlib import resources

import pytest

from keyhole.access.share import ShareKind
from keyhole.language import LANGUAGES, Language
from keyhole.web.pictures import TEXTS
from tests.asgi import Caller
from tests.web.openings import Memory

NOBODYS = "/v/" + "a" * 16
FILES = ("pictures.js", "rendering.js", "gestures.js", "pictures.css")
STATIC = resources.files("keyhole.web").joinpath("static")
MOST = 30_000
"""Bytes of the viewer as it is sent, all of it."""

Visit = tuple[str, dict[str, str]]


async def opened(caller: Caller, memory: Memory, kind: ShareKind) -> Visit:
    share, secret = memory.share(kind=kind)
    answer = (await caller.post_json(f"/s/{share.id}/visits", {"secret": secret})).json()
    return f"/v/{answer['visit']}", {"cookie": f"keyhole_visit={answer['bearer'][-32:]}"}


@pytest.fixture
async def pictures(caller: Caller, memory: Memory) -> Visit:
    """The path of a visit that may look at pictures only, and its cookie."""
    return await opened(caller, memory, ShareKind.VIEW_RENDERED)


@pytest.fixture(params=[ShareKind.VIEW, ShareKind.DOWNLOAD])
async def full(caller: Caller, memory: Memory, request: pytest.FixtureRequest) -> Visit:
    """The same of one that may look at images as they are stored."""
    return await opened(caller, memory, request.param)


class TestAShareOfPicturesOnly:
    async def test_leads_straight_to_the_pictures(self, caller: Caller, pictures: Visit) -> None:
        path, cookie = pictures
        answer = await caller.get(f"{path}/", cookie)
        assert (answer.status, answer.header("location")) == (303, "pictures")
        shown = await caller.get(f"{path}/pictures", cookie)
        assert shown.status == 200
        assert "Overview" not in shown.text

    async def test_is_announced_as_one(self, caller: Caller, memory: Memory) -> None:
        share, secret = memory.share(kind=ShareKind.VIEW_RENDERED)
        said = (await caller.post_json(f"/s/{share.id}", {"secret": secret})).json()
        assert (said["viewer"], said["allows"]) == ("pictures", "view-rendered")

    @pytest.mark.parametrize("viewer", ["viewer", "viewer?StudyInstanceUIDs=1.2.3", "notfoundstudy", "notfoundserver"])
    async def test_has_no_other_viewer_but_is_shown_the_way(self, caller: Caller, pictures: Visit, viewer: str) -> None:
        path, cookie = pictures
        answer = await caller.get(f"{path}/{viewer}", cookie)
        assert answer.status == 403
        assert '<a class="button" href="pictures">Look at the pictures</a>' in answer.text
        assert "bundle" not in answer.text


class TestAShareToView:
    async def test_may_look_at_pictures_too_and_goes_back_to_what_was_shared(self, caller: Caller, full: Visit) -> None:
        path, cookie = full
        assert 'href="pictures"' in (await caller.get(f"{path}/", cookie)).text
        answer = await caller.get(f"{path}/pictures?series=1.2.3.1", cookie)
        assert answer.status == 200
        assert '<a class="quiet" href="./">Overview</a>' in answer.text

    async def test_keeps_its_own_viewer(self, caller: Caller, full: Visit) -> None:
        path, cookie = full
        answer = await caller.get(f"{path}/viewer?StudyInstanceUIDs=1.2.3", cookie)
        assert answer.status == 200
        assert "<script>1</script>" in answer.text


class TestThePage:
    async def test_is_for_whoever_has_the_visits_credential(self, caller: Caller, pictures: Visit) -> None:
        path, cookie = pictures
        assert (await caller.get(f"{path}/pictures")).status == 401
        assert (await caller.get(f"{path}/pictures", {"cookie": f"keyhole_visit={'a' * 32}"})).status == 401
        assert (await caller.get(f"{NOBODYS}/pictures", cookie)).status == 401
        assert (await caller.get("/v/odd/pictures", cookie)).status == 404
        assert (await caller.call("POST", f"{path}/pictures", cookie)).status == 405

    async def test_ends_with_the_visit(self, caller: Caller, pictures: Visit) -> None:
        path, cookie = pictures
        await caller.call("POST", f"{path}/end", {**cookie, "sec-fetch-site": "same-origin"})
        answer = await caller.get(f"{path}/pictures", cookie)
        assert answer.status == 410
        assert "has ended" in answer.text

    async def test_holds_nothing_of_what_was_shared(self, caller: Caller, memory: Memory, pictures: Visit) -> None:
        path, cookie = pictures
        answer = await caller.get(f"{path}/pictures?series=<script>1.2.3", cookie)
        assert "1.2.3" not in answer.text
        assert "Thorax" not in answer.text
        assert cookie["cookie"][-32:] not in answer.text
        assert memory.calls[-1] == "actions"

    async def test_may_run_its_own_scripts_and_nothing_else(self, caller: Caller, pictures: Visit) -> None:
        path, cookie = pictures
        answer = await caller.get(f"{path}/pictures", cookie)
        policy = answer.header("content-security-policy") or ""
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert {rules[f"{kind}-src"] for kind in ("script", "style", "img", "connect")} == {"'self'"}
        assert "unsafe" not in policy
        assert answer.header("cache-control") == "no-store"
        for script in re.findall(r"<script([^>]*)>", answer.text):
            assert 'src="/static/' in script or 'type="application/json"' in script
        assert not re.search(r"\s(?:on[a-z]+|style)=", answer.text)

    @pytest.mark.parametrize("tag", LANGUAGES)
    async def test_hands_every_text_over_in_the_readers_language(
        self, caller: Caller, pictures: Visit, tag: str
    ) -> None:
        path, cookie = pictures
        answer = await caller.get(f"{path}/pictures", {**cookie, "accept-language": tag})
        assert f'<html lang="{tag}">' in answer.text
        found = re.search(r'<script type="application/json" id="words">(.*?)</script>', answer.text)
        assert found is not None
        said = json.loads(found[1])
        assert said == {name: Language(tag).gettext(text) for name, text in TEXTS.items()}
        assert tag == "en" or said["darker"] != TEXTS["darker"]

    async def test_with_all_it_needs_is_small(self, caller: Caller, pictures: Visit) -> None:
        path, cookie = pictures
        page = (await caller.get(f"{path}/pictures", {**cookie, "accept-language": "de"})).body
        sent = len(page)
        for name in FILES:
            answer = await caller.get(f"/static/{name}", {"accept-encoding": "gzip"})
            assert gzip.decompress(answer.body) == STATIC.joinpath(name).read_bytes()
            sent += len(answer.body)
        assert sent < MOST


class TestTheScript:
    def test_says_nothing_of_its_own(self) -> None:
        """Every name that it says is one of the texts, and each text is said."""
        script = "".join(STATIC.joinpath(name).read_text() for name in FILES if name.endswith(".js"))
        named = set(re.findall(r'"([a-z][a-z-]*)"|(\w+): \{ center|(\w+): \[-?\d+, \d+\]', script))
        assert set(TEXTS) <= {name for names in named for name in names}
        for text in TEXTS.values():
            assert len(text) < 8 or text not in script

    def test_needs_nobody_else(self) -> None:
        for name in FILES:
            text = STATIC.joinpath(name).read_text()
            assert not re.search(r"https?:|\beval\b|Function\(|innerHTML|insertAdjacent|document\.write|@import", text)
            assert set(re.findall(r'from "([^"]+)"', text)) <= {"./gestures.js", "./rendering.js"}
