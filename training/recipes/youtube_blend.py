"""The shipped predictor: n-grams, boosted trees on statistics, and a fine-tuned cross-attention network, blended."""

from training.recipes.base import CatBoost, Network, Ngrams, Recipe

RECIPE = Recipe(
    name="youtube_blend",
    summary="Title n-grams, CatBoost on text and picture statistics, and EfficientNet-Lite0 with MiniLM fine-tuned "
    "end to end under cross-attention; blended and calibrated on validation posts.",
    encoders={"picture": "lite0:128x224", "words": "minilm:48"},
    junk=0.05,
    baseline_vectors=("picture", "words"),
    expects={"src": 0.615, "accuracy": 0.388},
    members=(
        Ngrams(),
        CatBoost(name="trees"),
        Network(settings={"epochs": 4, "blank": 0.03}, replicates=2),
    ),
)
