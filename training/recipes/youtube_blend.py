"""The shipped predictor: n-grams, boosted trees on statistics, and an encoder of each side fine-tuned on its own.

What either side says is added up by the blend. The picture's network reads the style of its maps beside what is to be
seen, and learns from further covers too, of which only a class of likes per view is known. Every post outside of test
is answered out of fold, and those answers blend and calibrate.
"""

from training.recipes.base import CatBoost, Network, Ngrams, Recipe

WORDS = {"epochs": 3, "patience": 0, "text_rate": 8e-5, "blank": 0.03, "word_dropout": 0.1}
COVER = {"epochs": 2, "patience": 0, "image_rate": 3e-4, "blank": 0.03, "frozen_blocks": 6}

RECIPE = Recipe(
    name="youtube_blend",
    summary="Title n-grams, CatBoost on text and picture statistics, MiniLM fine-tuned on titles and "
    "EfficientNet-Lite0 with the style of its maps on covers; blended and calibrated on answers out of fold.",
    encoders={"picture": "lite0:96x160", "cover": "lite0-style:128x224", "words": "minilm:48"},
    junk=0.05,
    folds=3,
    baseline_vectors=("picture", "words"),
    expects={"src": 0.609, "accuracy": 0.375},
    members=(
        Ngrams(),
        CatBoost(name="trees"),
        Network(name="title", image_encoder=None, settings=WORDS, replicates=2),
        Network(name="cover", image_encoder="cover", text_encoder=None, settings=COVER, pictures=True),
    ),
)
