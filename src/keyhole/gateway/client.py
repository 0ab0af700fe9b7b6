"""Where a request comes from, as far as it can be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_AGENT_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Client:
    """The address (from the socket, or from a configured proxy) and what the program calls itself."""

    address: str
    agent: str = ""

    def personal(self) -> dict[str, str]:
        """Both, as the trail keeps them beside the chain; the agent is cut, for strangers choose its length."""
        known = {"address": self.address, "agent": self.agent[:_AGENT_LONGEST]}
        return {name: value for name, value in known.items() if value}


LOCAL = Client("local")
"""The machine itself: the command line."""


def client_of(scope: Mapping[str, Any]) -> Client:
    """Who sent an ASGI request: the address that the server says, which knows the trusted proxies."""
    address = scope["client"][0] if scope.get("client") else "unknown"
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    return Client(address, agent.decode("latin-1"))
