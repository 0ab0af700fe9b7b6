"""What rewriting the parts of a frame's answer costs: ``python bench/parts.py``.

CPU time per answer and the ratio to the time of copying the same bytes once, for pixels like a CT's and for the worst
bytes there are: nothing but beginnings of a boundary.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from keyhole.dicom import dicomweb
from keyhole.dicom.route import Kind, Match
from keyhole.gateway import media
from keyhole.gateway.multipart import Parts, boundary_of, part_heads
from keyhole.gateway.rewrite import Links

ROOT = "http://orthanc:8042/dicom-web"
PUBLIC = "https://keyhole.example/v/aaaabbbbccccdddd/dicom-web"
FRAME = "/studies/1.2.840.1/series/1.2.840.1.1/instances/1.2.840.1.1.1/frames/1"
BOUNDARY = "50d7ccd1-1897-8542-a425-43b8b54a1c2e"
CONTENT_TYPE = f'multipart/related; type="application/octet-stream"; boundary={BOUNDARY}'
CHUNK = 65536
BYTES = 400_000_000


def answer(pixels: bytes) -> list[bytes]:
    """A frame as Orthanc answers it, in chunks as they arrive."""
    head = (
        f"--{BOUNDARY}\r\nContent-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1\r\n"
        f"Content-Length: {len(pixels)}\r\nContent-Location: {ROOT}{FRAME}\r\nMIME-Version: 1.0\r\n\r\n"
    )
    whole = head.encode() + pixels + f"\r\n--{BOUNDARY}--\r\n".encode()
    return [whole[at : at + CHUNK] for at in range(0, len(whole), CHUNK)]


def rewrite(asked: Match, chunks: list[bytes]) -> None:
    """All that is done for one answer."""
    heads = part_heads(Links(ROOT, PUBLIC, FRAME), asked, media.part_type(Kind.FRAMES))
    parts = Parts(boundary_of(CONTENT_TYPE), heads)
    for chunk in chunks:
        parts.feed(chunk)
    parts.end()


def cost(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one call."""
    begun = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begun) / times


def main() -> None:
    """Print a line per kind of pixels and size."""
    asked = dicomweb.match("GET", FRAME.encode())
    if not isinstance(asked, Match):
        raise SystemExit("the benchmark's own path is not in the table")
    print(f"{'pixels':12}{'size':>9}{'µs':>9}{'GB/s':>8}{'copies':>8}")
    for name, pixels in (("CT", random.Random(1).randbytes), ("boundaries", lambda size: (b"\r\n--" * size)[:size])):
        for size in (2_048, 65_536, 524_288, 8_388_608):
            chunks = answer(pixels(size))
            times = max(10, min(5_000, BYTES // size))
            ours = cost(lambda chunks=chunks: rewrite(asked, chunks), times)  # type: ignore[misc]
            copy = cost(lambda chunks=chunks: bytearray().join(chunks), times)  # type: ignore[misc]
            print(f"{name:12}{size:9}{ours * 1e6:9.1f}{size / ours / 1e9:8.2f}{ours / copy:8.1f}")


if __name__ == "__main__":
    main()
