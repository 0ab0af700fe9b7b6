"""The three listeners of one process: sockets, TLS, and their life from the first connection to the last answer."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from keyhole.errors import Misconfigured
from keyhole.gateway.address import client_address
from keyhole.serving.malloc import spare_what_stands
from keyhole.serving.protocol import HardenedProtocol
from keyhole.settings import Bind, Settings

Message = MutableMapping[str, Any]
ASGIApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
Sockets = Mapping[str, socket.socket]
"""The bound socket of each listener that is on: ``public``, ``staff``, ``internal``."""

BINDS = MappingProxyType({"public": "bind", "staff": "staff_bind", "internal": "internal_bind"})
"""The setting of each listener."""
_WITH_TLS = frozenset({"public", "staff"})
_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75
"""Longer than proxies keep a connection to us (nginx: 60), or they would now and then use one that is just closed."""
_HANDSHAKE_SECONDS = 10.0
_GRACE_SECONDS = 5.0
_HANG_UP_SECONDS = 1.0
_POLL_SECONDS = 0.05
_WHY_NOT = {
    errno.EADDRINUSE: "another program listens there already: stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "this user may not listen there: choose a port above 1023",
}


@dataclass(frozen=True, slots=True)
class Apps:
    """What a process serves, and the life that all of it shares. ``lifespan`` is entered once, around everything."""

    public: ASGIApp | None
    staff: ASGIApp | None
    internal: ASGIApp | None
    lifespan: AbstractAsyncContextManager[object]

    def by_name(self) -> dict[str, ASGIApp]:
        """The applications that there are, by the name of their listener."""
        apps = {"public": self.public, "staff": self.staff, "internal": self.internal}
        return {name: app for name, app in apps.items() if app is not None}


def bind(settings: Settings) -> dict[str, socket.socket]:
    """Bind every listener that is on; Misconfigured with every address that cannot be had.

    Connections wait in the queue from now on, until a process accepts them.
    """
    sockets: dict[str, socket.socket] = {}
    problems = []
    for name, setting in BINDS.items():
        address: Bind | None = getattr(settings, setting)
        if address is not None:
            try:
                sockets[name] = _bound(address)
            except OSError as error:
                why = _WHY_NOT.get(error.errno or 0, error.strerror)
                problems.append(f"KEYHOLE_{setting.upper()} cannot be bound: {address} ({why})")
    if problems or not sockets:
        for listener in sockets.values():
            listener.close()
        raise Misconfigured(*(problems or ["every listener is off: there is nothing to serve"]))
    return sockets


def _bound(address: Bind) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        # Two programs may bind a port that nobody listens on; only listening makes it ours.
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def addresses(settings: Settings, sockets: Sockets) -> dict[str, str]:
    """The URL of each listener's socket, with the port that it really has."""
    found = {}
    for name, listener in sockets.items():
        host, port = listener.getsockname()[:2]
        scheme = "https" if settings.tls_cert and name in _WITH_TLS else "http"
        found[name] = f"{scheme}://{Bind(host, port)}"
    return found


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 and newer with the configured certificate, None without one; Misconfigured when it cannot be used."""
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except _Encrypted:
        raise Misconfigured(f"KEYHOLE_TLS_KEY is encrypted: {str(key)!r}; give the key without a password") from None
    except ssl.SSLError as error:
        raise Misconfigured(_why_not_tls(error, certificate, key)) from None
    except OSError as error:
        raise Misconfigured(f"KEYHOLE_TLS_CERT or KEYHOLE_TLS_KEY cannot be read: {error.strerror}") from None
    return context


class _Encrypted(Exception):
    """The key has a password; OpenSSL would ask for it at the terminal."""


def _no_password() -> str:
    raise _Encrypted


def _why_not_tls(error: ssl.SSLError, certificate: Path, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"KEYHOLE_TLS_KEY is not the key of the certificate: {str(key)!r}, {str(certificate)!r}"
    reason = (error.reason or "unknown").replace("_", " ").lower()
    return f"KEYHOLE_TLS_CERT and KEYHOLE_TLS_KEY are no PEM certificate and key: {str(certificate)!r} ({reason})"


class Listener:
    """One application on one socket."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Any], tls: ssl.SSLContext | None) -> None:
        """Serve *app*; take the word of *trusted* proxies on a client's address."""
        self._config = Config(
            _from_where(app, trusted),
            http=HardenedProtocol,
            ws="none",
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,  # it trusts all of X-Forwarded-For; see _from_where
            server_header=False,
            access_log=False,  # queries hold names and ids of patients
            log_config=None,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        self._config.load()
        self._tls = tls
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accept connections on *listener*."""
        loop = asyncio.get_running_loop()
        handshake = None if self._tls is None else _HANDSHAKE_SECONDS
        self._server = await loop.create_server(
            lambda: HardenedProtocol(self._config, self._state, {}, loop),
            sock=listener,
            ssl=self._tls,
            ssl_handshake_timeout=handshake,
            backlog=_BACKLOG,
        )

    def stop_accepting(self) -> None:
        """Let nobody new in, and connections go when they are idle."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()

    async def drained(self) -> None:
        """Return when the last answer is sent."""
        while self._state.connections or self._state.tasks:  # noqa: ASYNC110 - uvicorn's sets call nobody
            await asyncio.sleep(_POLL_SECONDS)

    async def cut(self) -> None:
        """Hang up on who is left. Answers end as they do when a client leaves; those that do not are cancelled."""
        for connection in list(self._state.connections):
            connection.transport.abort()
        for end in (False, True):
            tasks = list(self._state.tasks)
            for task in tasks if end else ():
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=_HANG_UP_SECONDS)


def _from_where(app: ASGIApp, trusted: Sequence[Any]) -> ASGIApp:
    """*app*, told the client's address where it would find the socket's (design section 7)."""

    def judged(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> Awaitable[None]:
        scope["client"] = (client_address(scope, scope["headers"], trusted), 0)
        return app(scope, receive, send)

    return judged


async def run(
    apps: Apps,
    settings: Settings,
    sockets: Sockets,
    ready: Callable[[], None],
    stop: asyncio.Event,
    *,
    grace: float = _GRACE_SECONDS,
) -> None:
    """Serve *apps* on *sockets* until *stop* is set; answers under way then have *grace* seconds to end.

    *ready* is called when every listener accepts. The lifespan is left after the last answer.
    """
    tls = tls_context(settings)
    found = apps.by_name()
    async with apps.lifespan:
        listeners = {
            name: Listener(found[name], settings.trusted_proxies, tls if name in _WITH_TLS else None)
            for name in sockets
        }
        async with _accepting(listeners, sockets, grace):
            spare_what_stands()
            ready()
            await stop.wait()


@asynccontextmanager
async def _accepting(listeners: Mapping[str, Listener], sockets: Sockets, grace: float) -> AsyncIterator[None]:
    """Accept connections within, and end them in order after."""
    try:
        for name, listener in listeners.items():
            await listener.start(sockets[name])
        yield
    finally:
        for listener in listeners.values():
            listener.stop_accepting()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                for listener in listeners.values():
                    await listener.drained()
        await asyncio.gather(*(listener.cut() for listener in listeners.values()))


def stop_on(stop: asyncio.Event, signals: Iterable[signal.Signals]) -> None:
    """Set *stop* on one of *signals*. Called within the loop that runs."""
    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, stop.set)
