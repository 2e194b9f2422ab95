"""Both apps in one process, on one port: the creators' page at /, the researchers' dashboard at /dashboard.

    python serve.py      # or: make serve

/health answers 200 once the model does. GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say where it listens.
"""

import os
import sys
import tomllib
from pathlib import Path
from socket import socket

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from gradio.routes import App as GradioApp
from streamlit import App, config, net_util

from app import build_page
from ui.chooser import models_offered
from ui.folder import own_folder
from ui.handlers import Page
from ui.health import health
from ui.model import load_shipped
from ui.theme import page_settings

DASHBOARD = Path(__file__).with_name("dashboard") / "app.py"
SETTINGS = Path(__file__).with_name(".streamlit") / "config.toml"
HOST, PORT = "127.0.0.1", 7860
# For answers that are under way when the process is asked to stop.
SECONDS_TO_STOP = 5


def join(page: Page, host: str = HOST, port: int = PORT) -> FastAPI:
    """The server's application: this page, the dashboard, and the page's health."""
    _settle()
    dashboard = App(DASHBOARD)
    both = FastAPI(lifespan=dashboard.lifespan(), docs_url=None, redoc_url=None, openapi_url=None)

    @both.api_route("/health", methods=["GET", "HEAD"])
    def probe() -> JSONResponse:
        status, body = health(page.model)
        return JSONResponse(body, status, {"Cache-Control": "no-store"})

    @both.get("/dashboard")
    def closed(request: Request) -> RedirectResponse:
        """With its slash, as its files are named from there; what the address asks for stays in it."""
        return RedirectResponse(f"dashboard/{f'?{request.url.query}' if request.url.query else ''}")

    @both.api_route("/dashboard/_stcore/upload_file/{file:path}", methods=["PUT", "POST", "DELETE"])
    def upload(file: str) -> Response:
        """No page of the dashboard asks for files; Streamlit would keep all that come, of any number, in memory."""
        return Response(status_code=404)

    # The page takes every path that is left, so it comes last.
    both.mount("/dashboard", dashboard)
    return gr.mount_gradio_app(both, build_page(page), "/", server_name=host, server_port=port, **page_settings())


def _settle() -> None:
    """Streamlit's settings, which it looks for where the process was started, and what a server needs beside them."""
    tables = [("", tomllib.loads(SETTINGS.read_text(encoding="utf-8")))]
    for section, values in tables:
        for name, value in values.items():
            if isinstance(value, dict):
                tables.append((f"{section}{name}.", value))
            else:
                config.set_option(f"{section}{name}", value)
    # What is served does not change; to look would walk through all that was imported, some of which cannot be.
    config.set_option("server.fileWatcherType", "none")
    # It would ask a host on the web for it, and all visitors would wait, whenever a page elsewhere calls this server.
    net_util.get_external_ip = lambda: None


class Server(uvicorn.Server):
    """A server that, asked to stop, first ends the streams by which open pages say that they are there."""

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for route in self.config.app.routes:  # type: ignore[union-attr]
            page = getattr(route, "app", None)
            if isinstance(page, GradioApp):
                page.get_blocks()._queue.close()
                page.stop_event.set()
        await super().shutdown(sockets)


def main() -> None:
    """Serve until SIGTERM or Ctrl+C; uploads are then gone."""
    host, port = os.environ.get("GRADIO_SERVER_NAME", HOST), int(os.environ.get("GRADIO_SERVER_PORT", PORT))
    with own_folder():
        served = join(Page(load_shipped, offered=models_offered()), host, port)
        print(
            f"First Impressions: http://{host}:{port}/ and its dashboard: http://{host}:{port}/dashboard/", flush=True
        )
        # Nothing is logged of a request: its address may hold what a draft should not leave behind.
        settings = uvicorn.Config(served, host, port, log_level="warning", access_log=False)
        settings.timeout_graceful_shutdown = SECONDS_TO_STOP
        server = Server(settings)
        server.run()
    if not server.started:
        # Why is in the log.
        sys.exit(1)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # Threads that still read a draft would be waited for, a minute on a busy machine, and nobody asks for it any more.
    os._exit(0)
