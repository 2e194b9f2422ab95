"""A vision transformer trained from scratch, with a head for the category and one for likes: the third reference system.

The reference reports an accuracy of .504 and a macro-F1 of .343 on two classes: it says one class of every picture. Its
causes, each of which `PUBLISHED` keeps and `RECIPE` does without:

| published | here |
| --- | --- |
| 134 of 137 million parameters in one dense layer over all patches | the mean of the patches; no layer holds most |
| binary cross-entropy (≈ .7) + mean absolute error of raw likes (≈ 10⁵), as they are | log likes, and both losses weighed by their uncertainty (Kendall, Gal & Cipolla 2018, arXiv:1705.07115) |
| numbers in another order than the pictures | joined by file name, or refused |
| the scaler fitted again on test | fitted on the training posts |
| the last epoch's weights | those of the epoch that is best for posts set apart |
| comments among the inputs | refused: nobody knows them before; `evaluate --demonstrate-leak` shows what they feign |

The reference planned ten epochs and stopped after five; five are trained here. `--encoders embedded:frozen` puts the same heads on EfficientNet-Lite0, which has seen ImageNet. Pictures are small here,
so that a CPU trains it; the encoder takes any size, `scratch-vit:512x512` that of the reference.
"""  # noqa: E501

from training.recipes.base import Heads, Recipe

SETTINGS = {"epochs": 40, "patience": 8}

RECIPE = Recipe(
    name="vit_scratch_category_likes",
    summary="A vision transformer from scratch (4 blocks, mean of the patches) with a category head and a head for the "
    "log score, numbers through a 1-D convolution; losses weighed by their uncertainty.",
    encoders={"picture": "scratch-vit:96x160"},
    embedded={"picture": "lite0:96x160"},
    members=(Heads(settings=SETTINGS),),
)

PUBLISHED = Recipe(
    name="vit_scratch_category_likes_as_published",
    summary="The third reference system as it was published: all patches of 512x512 pixels into one dense layer, raw "
    "likes beside the category without any weighing, numbers shuffled apart, the scaler fitted again on test, the last "
    "weights kept. Here to be seen failing.",
    encoders={"picture": "scratch-vit-flat:512x512"},
    members=(
        Heads(
            settings={"published": True, "epochs": 5, "patience": 5, "rate": 1e-3, "heads_rate": 1e-3},
            shape={"plain": True},
        ),
    ),
    options={"numbers": {"refitted": True}},
)
