"""wrk, sending prepared requests in turn."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """
local requests = {{}}
for line in io.lines("{requests}") do requests[#requests + 1] = (line:gsub("~", "\\r\\n")) end
local at = 0
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency, requests)
  local wrong = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
  io.write(string.format('{{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "wrong": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    wrong + summary.errors.timeout))
end
"""
"""A request is a line of the file, in which ``~`` stands for the end of a line."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How many requests were answered, per second too, and the milliseconds for half and all but one in a hundred."""

    requests: int
    rate: float
    p50: float
    p99: float


def script(folder: Path, name: str, requests: Sequence[str]) -> Path:
    """A script for wrk that sends *requests*, one after the other and over again."""
    lines = folder / f"{name}.txt"
    lines.write_text("".join(request.replace("\r\n", "~") + "\n" for request in requests))
    found = folder / f"{name}.lua"
    found.write_text(_SCRIPT.format(requests=lines))
    return found


def wrk(port: int, sent: Path, *, connections: int, seconds: int) -> Ran:
    """Send what the script *sent* says for so many *seconds*; fail unless all of it was answered with 2xx."""
    address = f"http://127.0.0.1:{port}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(sent), address]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(said.splitlines()[-1])
    assert not found["wrong"], f"not everything was answered: {said}"
    return Ran(found["requests"], found["requests"] / found["seconds"], found["p50"], found["p99"])
