"""The shipped predictor: n-grams, boosted trees on statistics, and a fine-tuned cross-attention network, blended."""

from training.recipes.base import CatBoost, Network, Ngrams, Recipe

RECIPE = Recipe(
    name="youtube_blend",
    summary="Title n-grams, CatBoost on text and picture statistics, and EfficientNet-Lite0 with MiniLM fine-tuned "
    "end to end under cross-attention; blended and calibrated on validation posts.",
    encoders={"picture": "lite0:128x224", "words": "minilm:48"},
    baseline_vectors=("picture", "words"),
    members=(
        Ngrams(),
        CatBoost(name="trees"),
        # Three epochs: with five, validation fell again after the third.
        Network(
            settings={"epochs": 3, "image_rate": 2e-4, "heads_rate": 5e-4, "weight_decay": 0.05},
            shape={"dropout": 0.3},
        ),
    ),
)
