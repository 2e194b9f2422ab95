"""The shipped recipe with the title's network taught by fits of its own kind, out of fold, and so trained for longer.

Left alone it learns titles by heart after three epochs. What its teachers say of a post holds less of the post's own
luck, and it goes on to learn from that.
"""

from dataclasses import replace

from training.recipes import youtube_blend
from training.recipes.base import Network, Teacher

NGRAMS, TREES, _, COVER = youtube_blend.RECIPE.members

RECIPE = replace(
    youtube_blend.RECIPE,
    name="youtube_blend_taught",
    summary="As youtube_blend, with MiniLM taught by three fits of its own kind and trained for eight epochs.",
    members=(
        NGRAMS,
        TREES,
        Network(
            name="title",
            image_encoder=None,
            settings={**youtube_blend.WORDS, "epochs": 8},
            teachers=(Teacher("teacher", "text", "minilm:48", youtube_blend.WORDS),),
        ),
        COVER,
    ),
    expects={"src": 0.609, "accuracy": 0.387},
)
