"""The shipped recipe with a title's network that nobody teaches: two replicates of three epochs, averaged.

It shipped before. Left alone for longer, the network learns titles by heart.
"""

from dataclasses import replace

from training.recipes import youtube_blend
from training.recipes.base import Network

NGRAMS, TREES, _, COVER = youtube_blend.RECIPE.members

RECIPE = replace(
    youtube_blend.RECIPE,
    name="youtube_blend_untaught",
    summary="As youtube_blend, with MiniLM fine-tuned on titles alone: two replicates of three epochs, averaged.",
    members=(
        NGRAMS,
        TREES,
        Network(name="title", image_encoder=None, settings=youtube_blend.WORDS, replicates=2),
        COVER,
    ),
    expects={"src": 0.609, "accuracy": 0.375},
)
