"""What is the same for everybody who asks: held in memory, compressed once."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from keyhole.web.viewer import accepted_codings


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that are sent as they are, or by gzip to whom takes it."""

    plain: bytes
    media_type: str
    zipped: bytes
    tag: str

    @classmethod
    def of(cls, plain: bytes, media_type: str) -> Content:
        """*plain*, compressed once."""
        return cls(plain, media_type, gzip.compress(plain, mtime=0), hashlib.sha256(plain).hexdigest()[:20])

    def answer(self, request: Request, headers: dict[str, str], *, kept: bool) -> Response:
        """The answer to *request* with *headers*; when it may be *kept*, 304 to whom has it already."""
        zips = "gzip" in accepted_codings(request.headers.get("accept-encoding", "").encode())
        headers["vary"] = ", ".join((*filter(None, (headers.get("vary"),)), "Accept-Encoding"))
        if kept:
            headers["etag"] = f'"{self.tag}{".gz" if zips else ""}"'
            if headers["etag"] in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=headers)
        if zips:
            headers["content-encoding"] = "gzip"
        return Response(self.zipped if zips else self.plain, media_type=self.media_type, headers=headers)
