"""What shipped before: covers at 128×224, and two replicates of a title's network that nobody teaches, averaged.

Left alone for longer than three epochs, the network learns titles by heart.
"""

from dataclasses import replace

from training.recipes import youtube_blend, youtube_blend_128x224
from training.recipes.base import Network

NGRAMS, TREES, _, COVER = youtube_blend.RECIPE.members

RECIPE = replace(
    youtube_blend_128x224.RECIPE,
    name="youtube_blend_untaught",
    summary="As youtube_blend_128x224, with MiniLM on titles alone: two replicates of three epochs, averaged.",
    members=(
        NGRAMS,
        TREES,
        Network(name="title", image_encoder=None, settings=youtube_blend.WORDS, replicates=2),
        COVER,
    ),
    expects={"src": 0.609, "accuracy": 0.375},
)
