"""Where a request comes from, as far as it can be known."""

from __future__ import annotations

from dataclasses import dataclass

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
