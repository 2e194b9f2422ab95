"""Both apps in one process, on one port: the creators' page at /, the researchers' dashboard at /dashboard.

    python serve.py      # or: make serve

/health answers 200 once the model does. GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say where it listens.
"""

import os
import sys
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse
from streamlit import App

from app import build_page
from ui.chooser import models_offered
from ui.folder import own_folder
from ui.handlers import Page
from ui.health import health
from ui.model import load_shipped
from ui.theme import page_settings

DASHBOARD = Path(__file__).with_name("dashboard") / "app.py"
HOST, PORT = "127.0.0.1", 7860
# For answers that are under way when the process is asked to stop; open pages end with it.
SECONDS_TO_STOP = 5


def join(page: Page, host: str = HOST, port: int = PORT) -> FastAPI:
    """The server's application: this page, the dashboard, and the page's health."""
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

    # The page takes every path that is left, so it comes last.
    both.mount("/dashboard", dashboard)
    return gr.mount_gradio_app(both, build_page(page), "/", server_name=host, server_port=port, **page_settings())


def main() -> None:
    """Serve until SIGTERM or Ctrl+C; uploads are then gone."""
    host, port = os.environ.get("GRADIO_SERVER_NAME", HOST), os.environ.get("GRADIO_SERVER_PORT", str(PORT))
    if not port.isdecimal():
        sys.exit(f"GRADIO_SERVER_PORT should be the number of a port, not {port!r}.")
    with own_folder():
        served = join(Page(load_shipped, offered=models_offered()), host, int(port))
        print(
            f"First Impressions: http://{host}:{port}/ and its dashboard: http://{host}:{port}/dashboard/", flush=True
        )
        # Nothing is logged of a request: its address may hold what a draft should not leave behind.
        uvicorn.run(
            served,
            host=host,
            port=int(port),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=SECONDS_TO_STOP,
        )


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # Threads that still read a draft would be waited for, a minute on a busy machine, and nobody asks for it any more.
    os._exit(0)
