"""Where pictures arrive: decoded in memory, so that no file name and no metadata of a visitor's reaches the disk."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from typing import Any

from gradio.route_utils import API_PREFIX
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.images import MAX_BYTES, TOO_LARGE
from ui.uploads import UPLOADS

FILES_AT_ONCE = 4
# Seconds that a program is kept waiting for its picture to be decoded; gradio_client gives up after five.
PATIENCE = 1
# What a form adds to its file: boundaries, headers, the file's name.
FORM_BYTES = 100_000
SECONDS_KEPT = 3600
# For a place in the queue. A page claims its file within a second, a program when its turn comes.
SECONDS_UNCLAIMED = 600


class InMemory(MultiPartParser):
    """A parser that puts no file on the disk, not even a nameless one."""

    spool_max_size = FILES_AT_ONCE * MAX_BYTES + FORM_BYTES


class Arrivals:
    """ASGI middleware in the place of Gradio's upload route, which keeps the file and its name as they come.

    It also closes the route that writes a session's draft to the disk, for a link that the page does not offer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/") if scope["type"] == "http" else ""
        answer: Any = self._app
        if path.endswith(f"{API_PREFIX}/upload") and scope["method"] == "POST":
            answer = await arrive(Request(scope, receive))
        elif f"{API_PREFIX}/mcp" in path and scope["method"] == "POST" and not fits(Request(scope)):
            answer = PlainTextResponse(TOO_LARGE, 413)
        elif path.endswith(f"{API_PREFIX}/deep_link"):
            answer = PlainTextResponse("Not found", 404)
        await answer(scope, receive, send)


async def arrive(request: Request) -> Response:
    """Keep the pictures of a form, and answer with their paths."""
    try:
        parser = InMemory(request.headers, limited(request), max_files=FILES_AT_ONCE, max_fields=FILES_AT_ONCE)
        form = await parser.parse()
        files = [await file.read() for file in form.getlist("files") if isinstance(file, UploadFile)]
    except OverflowError:
        return PlainTextResponse(TOO_LARGE, 413)
    except (MultiPartException, KeyError):
        return PlainTextResponse("This is no form with files.", 400)
    if any(len(data) > MAX_BYTES for data in files):
        return PlainTextResponse(TOO_LARGE, 413)
    paths = []
    for data in files:
        path, ready = admit(data)
        # A page shows the picture as soon as it has its path; a program gives up soon, and its call will wait.
        await asyncio.wait(
            [asyncio.wrap_future(ready)], timeout=None if "upload_id" in request.query_params else PATIENCE
        )
        paths.append(path)
    return JSONResponse(paths)


def fits(request: Request) -> bool:
    """Whether a call that may carry a picture in base64 says how long it is, and that is no longer than the largest."""
    length = request.headers.get("content-length", "")
    return length.isdecimal() and int(length) <= 4 * MAX_BYTES // 3 + FORM_BYTES


def admit(data: bytes) -> tuple[str, Future[None]]:
    """Keep a picture for as long as pictures are kept; see `Uploads.keep`. For the thread of the event loop."""
    path, ready = UPLOADS.keep(data)
    loop = asyncio.get_running_loop()
    loop.call_later(SECONDS_UNCLAIMED, UPLOADS.expire, path)
    loop.call_later(SECONDS_KEPT, UPLOADS.drop, path)
    return path, ready


async def limited(request: Request) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises OverflowError once it is longer than the largest picture."""
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > MAX_BYTES + FORM_BYTES:
            raise OverflowError
        yield chunk
