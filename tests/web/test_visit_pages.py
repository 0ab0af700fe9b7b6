from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keyhole.access.share import ShareChange
from keyhole.errors import ArchiveFailed, ArchiveTimeout
from keyhole.gateway.visiting import ShownStudy
from keyhole.web.pages import PublicPages
from keyhole.web.public import public_app
from keyhole.web.viewer import ViewerFiles
from tests.asgi import Caller
from tests.web.conftest import Dicomweb
from tests.web.openings import NOW, STUDIES, Memory, NoCodes

Visit = tuple[str, dict[str, str]]


@pytest.fixture
async def visit(caller: Caller, memory: Memory) -> Visit:
    """The path of a running visit, and its cookie."""
    share, secret = memory.share(max_visits=1)
    opened = (await caller.post_json(f"/s/{share.id}/visits", {"secret": secret})).json()
    memory.calls.clear()
    return f"/v/{opened['visit']}", {"cookie": f"keyhole_visit={opened['bearer'][-32:]}"}


async def test_the_visit_page_shows_what_was_shared(caller: Caller, visit: Visit) -> None:
    path, cookie = visit
    answer = await caller.get(f"{path}/", cookie)
    assert answer.status == 200
    for text in ("CT Thorax with contrast", "14 February 2026", "Lung 2.0 mm", "120 images", "1 image<", "I am done"):
        assert text in answer.text
    assert "viewer?StudyInstanceUIDs=1.2.3,1.2.4" in answer.text
    assert "viewer?StudyInstanceUIDs=1.2.3&amp;initialSeriesInstanceUID=1.2.3.2" in answer.text
    assert '<time datetime="2026-03-02T00:00:00+00:00">2 March 2026, 00:00 UTC</time>' in answer.text


async def test_what_an_archive_says_is_escaped(caller: Caller, memory: Memory, visit: Visit) -> None:
    path, cookie = visit
    memory.studies = (ShownStudy("1.2", "not a date", "<script>alert(1)</script>", ()),)
    answer = await caller.get(f"{path}/", cookie)
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "Date not known" in answer.text


async def test_what_may_be_kept_has_a_button_and_plain_words(caller: Caller, memory: Memory, visit: Visit) -> None:
    study, other = STUDIES
    part = replace(other.series[0], description="<b>Lung</b>", images=1, download=True)
    memory.studies = (replace(study, download=True), replace(other, series=(part,)))
    path, cookie = visit
    page = (await caller.get(f"{path}/", cookie)).text
    assert 'href="dicom-web/studies/1.2.3?accept=application/zip" download>Download this study</a>' in page
    assert 'href="dicom-web/studies/1.2.4/series/1.2.4.1?accept=application/zip" download>' in page
    assert "Download “&lt;b&gt;Lung&lt;/b&gt;”" in page
    assert "all 181 images" in page
    assert "the one image" in page


async def test_what_may_only_be_seen_has_none(caller: Caller, memory: Memory, visit: Visit) -> None:
    path, cookie = visit
    page = (await caller.get(f"{path}/", cookie)).text
    assert "Download" not in page
    assert "application/zip" not in page


async def test_a_visit_without_images_says_so(caller: Caller, memory: Memory, visit: Visit) -> None:
    path, cookie = visit
    memory.studies = ()
    assert "There are no images here now" in (await caller.get(f"{path}/", cookie)).text


@pytest.mark.parametrize("cookie", [{}, {"cookie": f"keyhole_visit={'a' * 32}"}])
@pytest.mark.parametrize("page", ["/", "/viewer?StudyInstanceUIDs=1.2.3"])
async def test_without_the_cookie_the_page_explains(
    caller: Caller, visit: Visit, cookie: dict[str, str], page: str
) -> None:
    answer = await caller.get(f"{visit[0]}{page}", cookie)
    assert answer.status == 401
    assert answer.header("www-authenticate") == 'Bearer realm="keyhole"'
    assert "Please open the link again" in answer.text


async def test_an_unknown_visit_answers_as_a_wrong_cookie_does(caller: Caller, visit: Visit) -> None:
    wrong = {"cookie": f"keyhole_visit={'a' * 32}"}
    known, unknown = await caller.get(f"{visit[0]}/", wrong), await caller.get(f"/v/{'a' * 16}/", wrong)
    assert (known.status, known.headers, known.body) == (unknown.status, unknown.headers, unknown.body)


@pytest.mark.parametrize("rest", ["", "/", "/viewer", "/expired", "/here", "/other"])
@pytest.mark.parametrize("visit_id", ["abc", "A" * 16, "a" * 17, "1" * 16])
async def test_a_malformed_visit_is_not_found(caller: Caller, memory: Memory, visit_id: str, rest: str) -> None:
    assert (await caller.get(f"/v/{visit_id}{rest}")).status == 404
    assert memory.calls == []


async def test_the_slash_is_added(caller: Caller) -> None:
    answer = await caller.get(f"/v/{'a' * 16}")
    assert (answer.status, answer.header("location")) == (308, f"/v/{'a' * 16}/")


@pytest.mark.parametrize("name", ["viewer", "notfoundstudy", "notfoundserver"])
async def test_the_viewers_page_is_served_below_the_visit(caller: Caller, visit: Visit, name: str) -> None:
    path, cookie = visit
    answer = await caller.get(f"{path}/{name}?StudyInstanceUIDs=1.2.3", cookie)
    assert answer.status == 200
    assert answer.text.startswith("<!doctype html><script>1</script>")
    assert answer.header("cache-control") == "no-store"
    policy = answer.header("content-security-policy")
    assert "script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' 'sha256-inline' blob:" in policy
    assert "'unsafe-inline'" not in policy.partition("style-src")[0]
    assert "frame-ancestors 'none'" in policy


async def test_a_missing_viewer_is_told_and_nothing_else_is_served_instead(
    memory: Memory, dicomweb: Dicomweb, tmp_path: Path
) -> None:
    app = public_app(
        memory, NoCodes(), ViewerFiles(tmp_path / "none"), dicomweb, PublicPages("http://127.0.0.1:8000"), lambda: NOW
    )
    caller = Caller(app)
    share, secret = memory.share()
    opened = (await caller.post_json(f"/s/{share.id}/visits", {"secret": secret})).json()
    answer = await caller.get(f"/v/{opened['visit']}/viewer", {"cookie": f"keyhole_visit={opened['bearer'][-32:]}"})
    assert answer.status == 503
    assert "The viewer is missing" in answer.text
    assert (await caller.get("/app.bundle.css")).status == 404
    assert (await caller.get("/app-config.js")).status == 200


async def test_here_tells_while_the_visit_runs(caller: Caller, memory: Memory, visit: Visit) -> None:
    path, cookie = visit
    assert (await caller.get(f"{path}/here", cookie)).status == 204
    assert (await caller.call("POST", f"{path}/here", cookie)).status == 204
    assert memory.calls == ["lasts", "present"]


async def test_here_tells_when_the_share_is_withdrawn(caller: Caller, memory: Memory, visit: Visit) -> None:
    path, cookie = visit
    (share,) = memory.shares.values()
    memory.change(share, ShareChange(withdrawn_at=NOW))
    answer = await caller.get(f"{path}/here", cookie)
    assert (answer.status, answer.json()["reason"]) == (410, "withdrawn")
    assert (await caller.get(f"{path}/", cookie)).status == 410


async def test_another_site_cannot_keep_a_visit_running_or_end_it(caller: Caller, memory: Memory, visit: Visit) -> None:
    path, cookie = visit
    elsewhere = {**cookie, "sec-fetch-site": "cross-site"}
    assert (await caller.call("POST", f"{path}/here", elsewhere)).status == 403
    assert (await caller.call("POST", f"{path}/end", elsewhere)).status == 403
    assert memory.calls == []


async def test_being_done_ends_the_visit_and_clears_the_browser(caller: Caller, memory: Memory, visit: Visit) -> None:
    path, cookie = visit
    answer = await caller.call("POST", f"{path}/end", {**cookie, "sec-fetch-site": "same-origin"})
    assert answer.status == 200
    assert "You are done" in answer.text
    assert answer.header("clear-site-data") == '"cache", "storage"'
    assert f"Max-Age=0; Path={path}/;" in answer.header("set-cookie")
    assert (await caller.get(f"{path}/", cookie)).status == 410


async def test_only_a_post_ends_a_visit(caller: Caller, memory: Memory, visit: Visit) -> None:
    path, cookie = visit
    answer = await caller.get(f"{path}/end", cookie)
    assert (answer.status, answer.header("allow")) == (405, "POST")
    assert memory.calls == []


async def test_a_stranger_cannot_end_a_visit(caller: Caller, visit: Visit) -> None:
    path, cookie = visit
    assert (await caller.call("POST", f"{path}/end")).status == 401
    assert (await caller.get(f"{path}/", cookie)).status == 200


async def test_the_end_page_is_the_same_for_every_visit(caller: Caller, memory: Memory, visit: Visit) -> None:
    one, other = await caller.get(f"{visit[0]}/expired"), await caller.get(f"/v/{'a' * 16}/expired")
    assert (one.status, one.body) == (200, other.body)
    assert "The visit has ended" in one.text
    assert memory.calls == []


@pytest.mark.parametrize(
    ("error", "status"), [(ArchiveFailed("http://10.0.0.1: refused"), 502), (ArchiveTimeout("30 s"), 504)]
)
async def test_an_archive_that_fails_is_told_without_its_address(
    caller: Caller, memory: Memory, visit: Visit, error: Exception, status: int
) -> None:
    path, cookie = visit
    memory.breaks = error
    answer = await caller.get(f"{path}/", cookie)
    assert answer.status == status
    assert "10.0.0.1" not in answer.text
