"""People who ask one thing after the other, each at their own pace and over a connection of their own.

A program: it reads a JSON :class:`Order` from standard input and writes a :class:`Result` to standard output. Unlike
the load client it does not ask as fast as it can: what is measured is how long people wait, not what a server can do.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypedDict


class Request(TypedDict):
    """One request; ``body`` empty is none."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


class Order(TypedDict):
    """What everybody asks of which port of the loopback, and after how long a ``pause`` again.

    Each of ``people`` asks theirs round and round for ``seconds``; once each, if ``once``, as far as they come.
    """

    port: int
    seconds: float
    pause: float
    once: bool
    people: list[list[Request]]


class Result(TypedDict):
    """How long each answer took, in seconds."""

    waits: list[float]
    statuses: dict[str, int]


class Person:
    """One of them."""

    def __init__(self, order: Order, requests: list[Request]) -> None:
        """Nothing is connected yet."""
        self._order = order
        self._requests = requests
        self.waits: list[float] = []
        self.statuses: Counter[str] = Counter()

    def run(self) -> None:
        """Ask until the time is over."""
        connection = http.client.HTTPConnection("127.0.0.1", self._order["port"], timeout=60)
        end = time.perf_counter() + self._order["seconds"]
        for request in self._turns():
            if time.perf_counter() > end:
                break
            begun = time.perf_counter()
            connection.request(request["method"], request["path"], request["body"] or None, request["headers"])
            answer = connection.getresponse()
            answer.read()
            self.waits.append(time.perf_counter() - begun)
            self.statuses[str(answer.status)] += 1
            time.sleep(self._order["pause"])
        connection.close()

    def _turns(self) -> Iterator[Request]:
        return iter(self._requests) if self._order["once"] else itertools.cycle(self._requests)


def main() -> None:
    """Run the order on standard input."""
    order: Any = json.load(sys.stdin)
    people = [Person(order, requests) for requests in order["people"]]
    threads = [threading.Thread(target=person.run) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sum((person.statuses for person in people), Counter[str]())
    json.dump(Result(waits=[wait for person in people for wait in person.waits], statuses=dict(statuses)), sys.stdout)


if __name__ == "__main__":
    main()
