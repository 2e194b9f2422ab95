"""ViT-B/16 and BERT fine-tuned end to end under a gated multimodal unit, which weighs the two sides for each channel.

The third fusion of the reference system, with the encoders and rates of `vit_bert_concat`. The reference names no
figure for it apart from the collapsed one given there.
"""

from dataclasses import replace

from training.recipes import vit_bert_concat
from training.recipes.base import Network

RECIPE = replace(
    vit_bert_concat.RECIPE,
    name="vit_bert_gated",
    summary="ViT-B/16 and BERT-base fine-tuned end to end; a learned gate weighs picture against title.",
    members=(Network(fusion="gated", settings=vit_bert_concat.SETTINGS, shape=vit_bert_concat.SHAPE),),
)
