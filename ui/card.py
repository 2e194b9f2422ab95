"""What stands in the page's head in the place of Gradio's: its title, icon and preview card, and one language."""

import re
from functools import cache
from html import escape
from io import BytesIO

from gradio.route_utils import get_root_url
from PIL import Image, ImageDraw, ImageFont
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAME = "First Impressions"
CLAIM = "See how a post is likely to land, before you publish it."
SIZE = (1200, 630)
PATH = "/card.png"
GROUND, INK, QUIET = "#f6f7fa", "#16202e", "#51607a"
# Heights and colours of the five levels, as in the page's empty verdict.
BARS = ((0.4, "#2f5597"), (0.6, "#5a8ac6"), (0.75, "#858b9c"), (1.0, "#cc7722"), (0.65, "#b3441a"))

# Gradio's own words follow the visitor's language, ours are English: a page speaks one. Here this comes before Gradio.
ENGLISH = "<script>Object.defineProperties(navigator, {language: {value: 'en'}, languages: {value: ['en']}});</script>"

THEIRS = re.compile(rb'\s*<meta\s+(?:property|name)="(?:og|twitter):[^>]*>')


class Card:
    """ASGI middleware that puts our card into the head of the page, and serves its picture."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
        elif scope["path"].endswith(PATH):
            await Response(picture(), media_type="image/png")(scope, receive, send)
        else:
            await self._app(scope, receive, Rewriter(Request(scope), send))


class Rewriter:
    """A `send` that lets everything pass but pages, which it holds until they are whole."""

    def __init__(self, request: Request, send: Send) -> None:
        self._request, self._send = request, send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = MutableHeaders(raw=message["headers"]).get("content-type", "")
            if kind.startswith("text/html") and message["status"] == 200:
                self._start = message
                return
        if self._start is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        if self._body:
            self._body = with_card(self._body, get_root_url(self._request, self._request.url.path, None))
            MutableHeaders(raw=self._start["headers"])["content-length"] = str(len(self._body))
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": self._body})


def with_card(page: bytes, root: str) -> bytes:
    """The page with our title, icon, card and language in its head, and no other card."""
    return THEIRS.sub(b"", page).replace(b"</head>", f"{head(root)}{ENGLISH}</head>".encode(), 1)


def head(root: str) -> str:
    """What goes into the head of a page at this address."""
    told = {"type": "website", "title": NAME, "description": CLAIM, "url": f"{root}/", "image": f"{root}{PATH}"}
    told |= {"image:width": str(SIZE[0]), "image:height": str(SIZE[1]), "image:alt": f"{NAME}: {CLAIM}"}
    tags = [f'<meta property="og:{name}" content="{escape(value)}">' for name, value in told.items()]
    return (
        f'<title>{NAME}</title><meta name="description" content="{CLAIM}">'
        '<link rel="icon" type="image/svg+xml" href="favicon.ico">'
        f'<meta name="twitter:card" content="summary_large_image">{"".join(tags)}'
    )


@cache
def picture() -> bytes:
    """The card's picture as PNG: five bars on a calm ground, the name, and what it is for."""
    card = Image.new("RGB", SIZE, GROUND)
    draw = ImageDraw.Draw(card)
    for number, (height, colour) in enumerate(BARS):
        left = 96 + 74 * number
        draw.rounded_rectangle((left, 330 - 210 * height, left + 54, 330), 12, colour)
    draw.text((96, 380), NAME, INK, ImageFont.load_default(88))
    draw.text((96, 500), CLAIM, QUIET, ImageFont.load_default(38))
    file = BytesIO()
    card.save(file, "PNG", optimize=True)
    return file.getvalue()
