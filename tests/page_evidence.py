"""Real posts beside a draft without an index: made-up neighbours, one of them hostile, for tests of the page."""

import base64
from pathlib import Path
from typing import Any

import numpy as np

from engine.evidence.index import Encoded, Figure, Manifest
from engine.evidence.nearest import SHOWN, Nearest, Neighbour
from engine.features.extractor import SIDES
from engine.posts import Post
from engine.prediction import View
from engine.scoring import SCORE_FORMULA

HOSTILE_ID = '"><img src=x onerror="document.title=\'hit\'">'
THUMBHASH = base64.b64decode("jhcGHIIDT5XBWWdWaHImwBkAew==")
COVERS = "https://covers.example"


def manifest() -> Manifest:
    figure = Figure(value=0.7, low=0.6, high=0.8)
    figures = {"same_level": Figure(value=0.3, low=0.2, high=0.4), "pairwise_accuracy": figure}
    return Manifest(
        name="made up",
        data="",
        score_formula=SCORE_FORMULA,
        created="2026-01-01",
        encoders={side: Encoded(spec="none", fingerprint="") for side in ("text", "image")},
        post_address="https://posts.example/{post_id}",
        picture_address=COVERS + "/{post_id}.jpg",
        posts=1000,
        removed=0,
        neighbours=50,
        spread={"text": 1.0, "image": 1.0},
        nearest={view: tuple(np.linspace(0, 1, 21).tolist()) for view in SIDES},
        asked=900,
        figures={view: figures for view in SIDES},
    )


class PageEvidence:
    """Answers every draft with the same posts, closest first."""

    def __init__(self) -> None:
        self.manifest = manifest()

    @classmethod
    def load(cls, folder: Path, bundle: Any) -> "PageEvidence":
        return cls()

    def nearest(self, post: Post) -> list[Nearest]:
        given = {side for side, there in (("text", post.has_text), ("image", post.has_image)) if there}
        return [self._near(view) for view, sides in SIDES.items() if set(sides) <= given]

    def _near(self, by: View) -> Nearest:
        return Nearest(
            by, tuple(map(self._neighbour, range(SHOWN))), (4, 9, 13, 14, 10), (0.03, 0.08), int(by == "both")
        )

    def _neighbour(self, place: int) -> Neighbour:
        name = HOSTILE_ID if place == 1 else f"post{place}"
        comments = None if place % 2 else 0.004
        addresses = (f"https://posts.example/{place}", f"{COVERS}/{place}.jpg")
        return Neighbour(name, place % 5, 0.05, 0.05, comments, 1 - place / SHOWN, THUMBHASH, *addresses)
