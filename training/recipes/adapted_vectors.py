"""The regressor of the inconsistency study: CatBoost on adapted vectors, similarity, perplexity and what else is read.

The reference adapts CLIP's picture and text features (CLIP-Adapter), adds their similarity and GPT-2's perplexity of
the text, where and when a post was published and by whom, and reports SRC .729 and MAE 1.227 on SMPD, whose label is a
log2 and whose users decide. Posts without time, place or account leave those columns empty. On the embedded encoders
the frozen towers stand in for CLIP, SmolLM2 for GPT-2. They share no space, so that of the similarity is fitted, on
training posts out of fold: each is compared in one that its own pair had no part in. The aligned pair has one, but has
learned from these very pairs.
"""

from training.recipes.base import CatBoost, Recipe

RECIPE = Recipe(
    name="adapted_vectors",
    summary="CatBoost on CLIP-Adapter vectors, image–text similarity, caption consistency, perplexity, lettering and "
    "faces, and on time, place, account and category where a dataset has them.",
    encoders={"picture": "clip-image:openai/clip-vit-base-patch32", "words": "clip-text:openai/clip-vit-base-patch32"},
    embedded={"picture": "lite2", "words": "minilm"},
    options={"adapted": {"ratio": 0.8}},
    members=(
        CatBoost(
            name="trees",
            features=(
                *("adapted", "similarity", "caption_consistency", "perplexity"),
                *("lettering", "lettering_agreement", "faces"),
                *("time_and_place", "author", "category"),
            ),
            border_count=64,
            rsm=0.1,
            learning_rate=0.05,
        ),
    ),
    baseline_vectors=("picture", "words"),
)
