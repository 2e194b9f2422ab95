"""Preview cards of posts: picture or ThumbHash, true and predicted level, probabilities, score and facts, as HTML.

Everything that comes from a report or a dataset is escaped; pictures are CSS backgrounds, so an address that does not
answer leaves the ThumbHash visible.
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import duckdb
import streamlit as st

from dashboard import text
from dashboard.charts import LEVEL_COLORS
from dashboard.checks import PROBABILITIES
from engine import previews
from engine.errors import ImageError
from engine.images import load_image
from engine.scoring import LEVELS

THUMBNAIL = (320, 320)

STYLE = """<style>
.fi-grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(215px,1fr));gap:.9rem}
.fi-card{border:1px solid color-mix(in srgb,currentColor 18%,transparent);border-radius:.6rem;overflow:hidden;
  font-size:.86rem;line-height:1.4;display:flex;flex-direction:column}
.fi-picture{aspect-ratio:16/9;background-size:cover;background-position:center;
  background-color:color-mix(in srgb,currentColor 8%,transparent);display:flex;align-items:center;
  justify-content:center}
.fi-body{padding:.6rem .75rem .7rem;display:flex;flex-direction:column;gap:.35rem;flex:1}
.fi-title{font-weight:600;overflow-wrap:anywhere;display:-webkit-box;-webkit-line-clamp:3;-webkit-box-orient:vertical;
  overflow:hidden}
.fi-levels{display:flex;flex-wrap:wrap;gap:.15rem .9rem}
.fi-dot{display:inline-block;width:.65rem;height:.65rem;border-radius:50%;margin-right:.3rem}
.fi-bars{display:grid;grid-template-columns:repeat(5,1fr);gap:.3rem;text-align:center;font-size:.72rem;margin-top:.15rem}
.fi-track{height:2.6rem;display:flex;align-items:flex-end;
  border-bottom:1px solid color-mix(in srgb,currentColor 30%,transparent)}
.fi-bar{width:100%;border-radius:2px 2px 0 0}
.fi-true{font-weight:700;text-decoration:underline;text-underline-offset:2px}
.fi-small{opacity:.72;font-size:.78rem;overflow-wrap:anywhere}
@media(max-width:640px){.fi-grid{grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:.6rem}
  .fi-card{font-size:.8rem}.fi-body{padding:.5rem .55rem .6rem}.fi-bars{gap:.15rem;font-size:.66rem}}
</style>"""


@dataclass(frozen=True)
class Content:
    """What only the dataset knows of a post: its title, and its picture as a data URL ("" when absent)."""

    title: str = ""
    picture: str = ""


def thumbhash_url(encoded: str | None) -> str:
    """A base64 ThumbHash as a PNG data URL; "" when it is absent or malformed."""
    try:
        return previews.thumbhash_url(base64.b64decode(encoded or "", validate=True))
    except ValueError:
        return ""


def safe_url(address: object) -> str:
    """A web address fit for a CSS url(): http(s) only, with quotes, brackets and spaces encoded; "" otherwise."""
    if not isinstance(address, str) or len(address) > 2000:
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return ""
    return quote(address, safe="/:?&=%#@!$+,;~-._[]")


@st.cache_data(max_entries=64, show_spinner=False)
def mounted(folder: str, stamp: int, ids: tuple[str, ...]) -> dict[str, Content]:
    """Titles and pictures of a few posts from the dataset's posts.parquet; empty when it cannot be read."""
    try:
        with duckdb.connect() as connection:
            source = connection.read_parquet(str(Path(folder) / "posts.parquet"))
            source.create_view("posts")
            # As `prepare` takes them: in any case of letters, an id and a picture by either name.
            given = {name.strip().lower(): '"' + name.replace('"', '""') + '"' for name in source.columns}
            post_id = f"CAST({given.get('post_id', given.get('video_id', 'post_id'))} AS VARCHAR)"
            title = f"CAST({given.get('title', 'NULL')} AS VARCHAR)"
            image = given.get("image", given.get("picture", "NULL"))
            sql = f"SELECT {post_id}, {title}, {image} FROM posts WHERE {post_id} IN ({', '.join('?' for _ in ids)})"
            rows = connection.execute(sql, list(ids)).fetchall()
    except duckdb.Error:
        return {}
    return {post_id: Content(title or "", _picture(folder, image)) for post_id, title, image in rows}


def _picture(folder: str, image: object) -> str:
    """The dataset's picture, bytes or a path inside its folder, as a small data URL; "" when it cannot be shown."""
    try:
        if isinstance(image, str):
            root = os.path.realpath(folder)
            path = os.path.realpath(os.path.join(root, image))
            if os.path.commonpath([root, path]) != root:
                return ""
            image = path
        if not isinstance(image, str | bytes):
            return ""
        picture = load_image(image)
    except (ImageError, ValueError):
        # A path may hold a character that no path may hold.
        return ""
    picture.thumbnail(THUMBNAIL)
    return previews.data_url(picture, "JPEG")


def cards(rows: list[dict[str, Any]], contents: Mapping[str, Content], online: bool) -> str:
    """HTML of a grid of cards. `online` lets the browser fetch pictures from their public addresses."""
    return f'{STYLE}<div class="fi-grid">{"".join(_card(row, contents, online) for row in rows)}</div>'


def layers(row: Mapping[str, Any], content: Content, online: bool) -> str:
    """A style attribute with a post's picture over its ThumbHash; "" where there is neither."""
    address = safe_url(row["image_url"]) if online and not content.picture else ""
    urls = [f"url('{url}')" for url in (content.picture, address, thumbhash_url(_text(row["thumbhash"]))) if url]
    return f' style="background-image:{escape(",".join(urls))}"' if urls else ""


def _card(row: dict[str, Any], contents: Mapping[str, Content], online: bool) -> str:
    content = contents.get(str(row["post_id"]), Content())
    style = layers(row, content, online)
    empty = "" if style else '<span class="fi-small">no preview</span>'
    name = escape(str(row["post_id"]), quote=True)
    title = f'<div class="fi-title">{escape(content.title)}</div>' if content.title else ""
    abstains = " · model abstains" if row["abstain"] else ""
    return (
        '<div class="fi-card">'
        f'<div class="fi-picture" role="img" aria-label="Picture of post {name}"{style}>{empty}</div>'
        f'<div class="fi-body">{title}<div class="fi-levels"><span>True {_level(row["level"])}</span>'
        f"<span>Predicted {_level(row['predicted_level'])}</span></div>{_bars(row)}"
        f"<div>Score <b>{text.score(row['true_score'])}</b>, predicted {text.score(row['score'])} "
        f"({text.score(row['score_low'])} to {text.score(row['score_high'])})</div>"
        f'<div class="fi-small">Set: {_range(row["set_low"], row["set_high"])}{abstains}<br>{_facts(row)}<br>{name}'
        "</div></div></div>"
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _level(level: int) -> str:
    return f'<span class="fi-dot" style="background:{LEVEL_COLORS[level]}"></span><b>{LEVELS[level]}</b>'


def _range(low: int, high: int) -> str:
    return LEVELS[low] if low == high else f"{LEVELS[low]} to {LEVELS[high]}"


def _bars(row: dict[str, Any]) -> str:
    bars = ""
    for level, name in enumerate(PROBABILITIES):
        share = min(max(float(row[name]), 0.0), 1.0)
        true = ' class="fi-true"' if level == row["level"] else ""
        bars += (
            f'<div title="{LEVELS[level]}"><div class="fi-track"><div class="fi-bar" '
            f'style="height:{share:.0%};background:{LEVEL_COLORS[level]}"></div></div><span{true}>{share:.0%}</span></div>'
        )
    return f'<div class="fi-bars">{bars}</div>'


def _facts(row: dict[str, Any]) -> str:
    facts = [row["source"], text.language(row["language"]) if isinstance(row["language"], str) else None]
    if row["title_characters"] == row["title_characters"] and row["title_characters"] is not None:
        facts.append(f"{int(row['title_characters'])} characters")
    if row["image_width"] == row["image_width"] and row["image_width"] is not None:
        facts.append(f"{int(row['image_width'])}×{int(row['image_height'])}")
    return escape(" · ".join(str(fact) for fact in facts if isinstance(fact, str)))
