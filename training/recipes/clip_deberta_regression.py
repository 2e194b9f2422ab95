"""Regression of the log popularity score from CLIP's picture side and DeBERTa-v3, the reference's second score model.

Everything but the picture encoder is as in `siglip_deberta_regression`; the reference reports R² .1284 for this pair
(its best validation epoch).
"""

from dataclasses import replace

from training.recipes import siglip_deberta_regression

RECIPE = replace(
    siglip_deberta_regression.RECIPE,
    name="clip_deberta_regression",
    summary="CLIP ViT-B/32's picture encoder and DeBERTa-v3 fine-tuned end to end to the log popularity score.",
    encoders={"picture": "clip-image:openai/clip-vit-base-patch32", "words": "deberta:microsoft/deberta-v3-base"},
)
