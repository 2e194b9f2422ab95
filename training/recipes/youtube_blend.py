"""The shipped predictor: n-grams, boosted trees on statistics, and an encoder of each side fine-tuned on its own.

What either side says is added up by the blend. The title's network is taught by fits of its own kind, out of fold: what
these say of a post holds less of the post's own luck, and it goes on to learn from that where it would learn titles by
heart alone. The picture's reads the style of its maps beside what is to be seen in it, and learns from further covers
too, of which only a class of likes per view is known. Every post outside of test is answered out of fold, and those
answers blend and calibrate.
"""

from training.recipes.base import CatBoost, Network, Ngrams, Recipe, Teacher

WORDS = {"epochs": 3, "patience": 0, "text_rate": 8e-5, "blank": 0.03, "word_dropout": 0.1}
COVER = {"epochs": 2, "patience": 0, "image_rate": 3e-4, "blank": 0.03, "frozen_blocks": 6}

RECIPE = Recipe(
    name="youtube_blend",
    summary="Title n-grams, CatBoost on text and picture statistics, MiniLM on titles, taught out of fold by fits of "
    "its own kind, and EfficientNet-Lite0 with the style of its maps on covers; blended and calibrated out of fold.",
    encoders={"picture": "lite0:96x160", "cover": "lite0-style:160x288", "words": "minilm:48"},
    junk=0.05,
    folds=3,
    baseline_vectors=("picture", "words"),
    expects={"src": 0.607, "accuracy": 0.388},
    members=(
        Ngrams(),
        CatBoost(name="trees"),
        Network(
            name="title",
            image_encoder=None,
            settings={**WORDS, "epochs": 8},
            teachers=(Teacher("teacher", "text", "minilm:48", WORDS),),
        ),
        Network(name="cover", image_encoder="cover", text_encoder=None, settings=COVER, pictures=True),
    ),
)
