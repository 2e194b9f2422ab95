"""Integrated Gradients over pixels and word embeddings at once, for the members that have gradients."""

import time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import IntegratedGradients

from engine.errors import FirstImpressionsError, PostError
from engine.explain import regions
from engine.explain.base import NOTHING, TARGET, Explanation
from engine.explain.differentiable import DifferentiableNetworks
from engine.explain.words import group_pieces, split_title
from engine.posts import Post

if TYPE_CHECKING:
    from engine.predictor import Predictor

METHOD = "Integrated Gradients"
PICTURE_NOTE = "The picture fades in from its average colour."
WORDS_NOTE = "Words fade in from the embedding of a neutral token."
MEMBERS_NOTE = "Only members with gradients are explained: trees have none, so their votes are left out."
NOTHING_SEEN = "No member with gradients sees what this post has; ask for Owen values."
# On the shipped model as complete as twice the steps, and then faster than Owen values.
STEPS = 32
# Each keeps about 90 MB for its gradients, and more of them together save a tenth of the time at most on a CPU.
POINTS_AT_ONCE = 1


def piece_values(
    pieces: tuple[str, ...], offsets: list[tuple[int, int]], values: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], float]:
    """Values of a title's pieces (p,) from those of its tokens (t,), and the sum that lies in no piece.

    A token counts to the piece in which its first character that is no space stands, one of spaces alone to that of the
    next such character.
    """
    ends = np.cumsum([len(piece) for piece in pieces])
    title = "".join(pieces)
    totals = np.zeros(len(pieces))
    outside = 0.0
    for (start, end), value in zip(offsets, values, strict=True):
        if start < end <= len(title):
            # Byte-level tokenisers count the space before a word as part of its first token, others as a token.
            first = min(start + len(title[start:]) - len(title[start:].lstrip()), len(title) - 1)
            totals[int(np.searchsorted(ends, first, side="right"))] += value
        else:
            outside += float(value)
    return totals, outside


@torch.inference_mode(False)
def explain(
    predictor: "Predictor",
    post: Post,
    *,
    steps: int = STEPS,
    internal_batch_size: int = POINTS_AT_ONCE,
    segments: int = regions.SEGMENTS,
) -> Explanation:
    """Integrated Gradients (Sundararajan, Taly & Yan 2017) of pixels and words, in levels.

    The gradient of the expected level is averaged at `steps` Gauss–Legendre points on the straight way from the
    baseline to the post, both sides together, `internal_batch_size` points at a time. `completeness_error` of the
    result is the convergence delta. A side that no network sees counts for nothing. Raises PostError for an empty post,
    and FirstImpressionsError when no member has gradients for what the post has.
    """
    started = time.perf_counter()
    model = DifferentiableNetworks(predictor)
    has_text = bool(post.text(predictor.text_fields))
    if not post.has_image and not has_text:
        raise PostError(NOTHING)
    has_text = has_text and bool(model.text_encoders)
    seen = post.image if model.image_encoder is not None else None
    if seen is None and not has_text:
        raise FirstImpressionsError(NOTHING_SEEN)
    inputs: list[torch.Tensor] = []
    baselines: list[torch.Tensor] = []
    notes: list[str] = []
    if seen is not None:
        inputs.append(model.pixels(seen))
        baselines.append(model.pixels(regions.baseline_picture(seen)))
        notes.append(PICTURE_NOTE)
    texts = model.embeddings(post) if has_text else ()
    inputs += [text.embeddings for text in texts]
    baselines += [text.baseline for text in texts]
    notes += [WORDS_NOTE] if texts else []
    # Tensors that an encoder made in inference mode cannot take part in autograd; a copy can.
    inputs, baselines = ([tensor.detach().clone() for tensor in tensors] for tensors in (inputs, baselines))
    extra = tuple(text.mask.clone() for text in texts)

    def forward(*parts: torch.Tensor) -> torch.Tensor:
        words = parts[int(seen is not None) :]
        return model(parts[0] if seen is not None else None, words[: len(texts)], words[len(texts) :])

    with torch.enable_grad():
        attributions = IntegratedGradients(forward).attribute(
            tuple(inputs),
            baselines=tuple(baselines),
            additional_forward_args=extra or None,
            n_steps=steps,
            internal_batch_size=internal_batch_size,
        )
    with torch.no_grad():
        nothing, everything = (float(forward(*tensors, *extra)) for tensors in (baselines, inputs))

    heat = labels = region_values = None
    if seen is not None:
        heat = attributions[0][0].sum(dim=0).detach().double().cpu().numpy()
        labels = regions.find_regions(regions.shrink(seen), segments)
        region_values = np.zeros(int(labels.max()) + 1)
        np.add.at(region_values, regions.fit_labels(labels, *heat.shape), heat)
    title_values: tuple[tuple[str, float], ...] = ()
    fields: tuple[tuple[str, float], ...] = ()
    if texts:
        pieces = group_pieces(split_title(post.title))
        totals, outside = np.zeros(len(pieces)), 0.0
        # What every encoder reads of a word is added up.
        for text, found in zip(texts, attributions[-len(texts) :], strict=True):
            own, rest = piece_values(pieces, text.offsets, found[0].sum(dim=-1).detach().double().cpu().numpy())
            totals, outside = totals + own, outside + rest
        title_values = tuple(zip(pieces, totals.tolist(), strict=True))
        others = [name for name in ("tags", "description") if name in predictor.text_fields]
        if others and outside:
            fields = ((" and ".join(others), outside),)
    return Explanation(
        method=METHOD,
        target=f"{TARGET}, of the members with gradients",
        base_value=nothing,
        value=everything,
        words=title_values,
        fields=fields,
        notes=(*notes, MEMBERS_NOTE),
        segments=labels,
        segment_values=region_values,
        pixel_values=heat,
        image_passes=steps + 2 if seen is not None else 0,
        text_passes=(steps + 2) * len(texts),
        evaluations=steps + 2,
        seconds=time.perf_counter() - started,
    )
