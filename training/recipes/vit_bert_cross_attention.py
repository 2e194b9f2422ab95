"""ViT-B/16 and BERT fine-tuned end to end under cross-attention between all patches and all word pieces.

The reference system's cross-attention had one query and one key, the two pooled vectors: the softmax over one key is 1,
so its text was thrown away. Here every patch looks at every word piece and the other way round, with the encoders and
rates of `vit_bert_concat`. The reference names no figure for this fusion apart from the collapsed one given there.
"""

from dataclasses import replace

from training.recipes import vit_bert_concat
from training.recipes.base import Network

RECIPE = replace(
    vit_bert_concat.RECIPE,
    name="vit_bert_cross_attention",
    summary="ViT-B/16 and BERT-base fine-tuned end to end; patches and word pieces attend to one another.",
    members=(Network(fusion="cross_attention", settings=vit_bert_concat.SETTINGS, shape=vit_bert_concat.SHAPE),),
    embedded_expects={"src": 0.510, "accuracy": 0.339},
)
