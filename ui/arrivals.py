"""Where pictures arrive: decoded in memory, so that no file name and no metadata of a visitor's reaches the disk."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from pathlib import PurePath
from typing import Any

import gradio as gr
from gradio.route_utils import API_PREFIX
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.images import MAX_BYTES, TOO_LARGE
from ui.calls import ODD
from ui.uploads import UPLOADS

log = logging.getLogger(__name__)
# As many as can be compared.
FILES_AT_ONCE = 6
# Bytes of a form: pictures that come together are seldom large.
MAX_FORM = 2 * MAX_BYTES
# Endings of files that are no pictures but hold posts: kept as they come, until they are scored.
WHOLE = (".csv", ".zip")
# Seconds that a program is kept waiting for its picture to be decoded; gradio_client gives up after five.
PATIENCE = 1
# What a form adds to its file: boundaries, headers, the file's name.
FORM_BYTES = 100_000
SECONDS_KEPT = 3600
# For a place in the queue. A page claims its file within a second, a program when its turn comes.
SECONDS_UNCLAIMED = 600

FORM_TOO_LARGE = f"That is more than {MAX_FORM // 1_000_000} MB in all; give smaller files, or fewer at a time."
TOO_MANY = f"At most {FILES_AT_ONCE} files are taken at a time; choose fewer."
FULL = "So many files are kept here just now that no other is taken; try again in a few minutes."
NO_FORM = "This is no form with files."
CALL_TOO_LARGE = "The call is larger than is read, or does not say how large it is; give fewer or smaller pictures."
# By the name of an endpoint, past the queue or through it.
CALL = re.compile(rf"{API_PREFIX}/(?:call|call/v2|run|api)/([^/]+)$")
# Of the largest pictures, in base64, a call may hold so many: lists of drafts have several.
LISTS = 4
NO_ENDPOINT = "There is no such endpoint; “Use via API” at the foot of the page names those that there are."


class InMemory(MultiPartParser):
    """A parser that puts no file on the disk, not even a nameless one."""

    spool_max_size = MAX_FORM + FORM_BYTES


class Arrivals:
    """ASGI middleware in the place of Gradio's upload route, which keeps the file and its name as they come.

    It also closes the route that writes a session's draft to the disk, for a link that the page does not offer, and
    calls to the page's own events, which Gradio runs by the names of their functions.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/") if scope["type"] == "http" else ""
        posted = path and scope["method"] == "POST"
        answer: Any = self._app
        if posted and path.endswith(f"{API_PREFIX}/upload"):
            answer = await arrive(Request(scope, receive))
        elif posted and f"{API_PREFIX}/mcp" in path and not fits(Request(scope)):
            answer = PlainTextResponse(TOO_LARGE, 413)
        elif posted and not fits(Request(scope), LISTS):
            answer = PlainTextResponse(CALL_TOO_LARGE, 413)
        elif path.endswith(f"{API_PREFIX}/upload_progress"):
            # Its bytes are not counted here; to a page that asks for them Gradio would answer with an error.
            answer = PlainTextResponse("", media_type="text/event-stream")
        elif path.endswith(f"{API_PREFIX}/deep_link"):
            answer = PlainTextResponse("Not found", 404)
        elif posted and (called := CALL.search(path)):
            answer = self._call if called[1] in endpoints(scope) else JSONResponse({"detail": NO_ENDPOINT}, 404)
        await answer(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A call, which is queued here and answered later: what Gradio raises is of its form, and quotes it."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            # Its message may quote a draft.
            log.warning("A call could not be queued: %s", type(error).__name__)
            await JSONResponse({"detail": ODD}, 422)(scope, receive, send)


async def arrive(request: Request) -> Response:
    """Keep the files of a form, pictures as pixels alone, and answer with their paths."""
    try:
        parser = InMemory(request.headers, limited(request), max_files=FILES_AT_ONCE, max_fields=FILES_AT_ONCE)
        form = await parser.parse()
        found = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
        files = [(await file.read(), PurePath((file.filename or "").lower()).suffix) for file in found]
    except OverflowError:
        return PlainTextResponse(FORM_TOO_LARGE, 413)
    except MultiPartException as error:
        return PlainTextResponse(TOO_MANY if "Too many files" in error.message else NO_FORM, 400)
    except KeyError:
        return PlainTextResponse(NO_FORM, 400)
    if any(len(data) > MAX_BYTES for data, _ in files):
        return PlainTextResponse(TOO_LARGE, 413)
    if UPLOADS.full:
        return PlainTextResponse(FULL, 503)
    paths = []
    for data, ending in files:
        path, ready = admit(data, ending)
        # A page shows the picture as soon as it has its path; a program gives up soon, and its call will wait.
        await _done(ready, timeout=None if "upload_id" in request.query_params else PATIENCE)
        paths.append(path)
    return JSONResponse(paths)


def endpoints(scope: Scope) -> set[str]:
    """The names by which programs may call the page that is asked."""
    events = scope["app"].get_blocks().fns.values()
    return {event.api_name for event in events if event.api_visibility == "public"}


def fits(request: Request, pictures: int = 1) -> bool:
    """Whether a call says how long it is, and that is no longer than so many of the largest pictures in base64."""
    length = request.headers.get("content-length", "")
    # A body in chunks is as long as it likes, whatever length is said beside.
    whole = length.isdecimal() and "transfer-encoding" not in request.headers
    return whole and int(length) <= pictures * (4 * MAX_BYTES // 3) + FORM_BYTES


def admit(data: bytes, ending: str = "") -> tuple[str, Future[None]]:
    """Keep a file, by its name's ending, for as long as files are kept; for the thread of the event loop.

    See `Uploads.keep` for its path, and for what is awaited until it is there.
    """
    path, ready = UPLOADS.keep_whole(data, ending) if ending in WHOLE else UPLOADS.keep(data)
    loop = asyncio.get_running_loop()
    loop.call_later(SECONDS_UNCLAIMED, UPLOADS.expire, path)
    loop.call_later(SECONDS_KEPT, UPLOADS.drop, path)
    return path, ready


async def place(data: bytes, request: gr.Request) -> str:
    """The path of a picture that is put into a visitor's draft, once it is there."""
    path, ready = admit(data)
    await _done(ready)
    UPLOADS.remember(path, request)
    return path


async def _done(ready: Future[None], timeout: float | None = None) -> None:
    """Wait for a file, at most so many seconds. What is wrong with it is said to whoever asks for the file."""
    waited = asyncio.wrap_future(ready)
    waited.add_done_callback(lambda found: found.cancelled() or found.exception())
    await asyncio.wait([waited], timeout=timeout)


async def limited(request: Request) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises OverflowError once it is longer than pictures that come together may be."""
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > MAX_FORM + FORM_BYTES:
            raise OverflowError
        yield chunk
