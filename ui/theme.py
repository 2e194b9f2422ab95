"""How the page looks and how it is served: settings of `launch()` shared by every way to start it."""

from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from engine.images import MAX_BYTES
from ui.arrivals import Arrivals
from ui.card import Card
from ui.examples import available
from ui.sessions import SESSIONS
from ui.tools import tools_wanted

STYLE = Path(__file__).with_name("style.css")
# Names of fonts that the system has: nothing is fetched from a font server, which would learn of every visit.
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """A quiet theme on system fonts; `style.css` does the rest."""
    return gr.themes.Soft(
        primary_hue="blue",
        secondary_hue="blue",
        neutral_hue="slate",
        radius_size="lg",
        font=SANS,
        font_mono=MONO,
    ).set(
        body_background_fill="#f6f7fa",
        body_background_fill_dark="#0e131c",
        block_background_fill="#ffffff",
        block_background_fill_dark="#171e2a",
        block_label_background_fill="#ffffff",
        block_label_background_fill_dark="#171e2a",
        button_primary_background_fill="#1f4fa3",
        button_primary_background_fill_hover="#173e83",
        button_primary_background_fill_dark="#3567c4",
        button_primary_background_fill_hover_dark="#2a57ad",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="#eef2f9",
        button_secondary_background_fill_dark="#232c3b",
        button_secondary_background_fill_hover_dark="#2b3546",
        button_secondary_text_color="#16202e",
        button_secondary_text_color_dark="#eef2f8",
        color_accent="#1f4fa3",
        checkbox_label_background_fill_selected="#1f4fa3",
        checkbox_label_background_fill_selected_dark="#3567c4",
        input_placeholder_color="#64748b",
        input_placeholder_color_dark="#94a3b8",
        block_border_width="1px",
        block_border_color="#dfe3ea",
        block_border_color_dark="#2b3546",
        block_radius="16px",
        block_label_text_color="#51607a",
        block_label_text_color_dark="#a9b5c8",
        block_title_text_color="#51607a",
        block_title_text_color_dark="#a9b5c8",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
    )


def page_settings() -> dict[str, Any]:
    """Keyword arguments that `Blocks.launch` and `gr.mount_gradio_app` share.

    Drafts are private: no run history in the browser, no monitoring page, no error text with a traceback.
    """
    return {
        "theme": theme(),
        "css_paths": STYLE,
        "footer_links": ["api"],
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
        "max_file_size": MAX_BYTES,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": tools_wanted(),
        "favicon_path": STYLE.with_name("favicon.svg"),
        # Gradio sends no file from outside of the working folder, where packages need not be installed.
        "allowed_paths": [str(example.path) for example in available() if example.path],
        "app_kwargs": {"middleware": [Middleware(Arrivals), Middleware(Card)]},
    }


def launch_settings() -> dict[str, Any]:
    """Keyword arguments of `Blocks.launch`; host and port come from Gradio's own environment variables."""
    return {**page_settings(), "state_session_capacity": SESSIONS}
