"""A small caption decoder: transformer layers that read the grid of a picture tower, and their beam search."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

# Ids that the tokenizer reserves, in this order.
PAD, START, END, UNKNOWN = range(4)
SPECIALS = ("[pad]", "[start]", "[end]", "[unknown]")
# Keys and values, each (rows, heads, tokens or cells, width of a head).
Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the decoder: `grid` channels of the picture's cells, at most `length` word pieces a caption."""

    vocabulary: int
    grid: int = 1280
    width: int = 256
    layers: int = 3
    heads: int = 8
    length: int = 32
    dropout: float = 0.3


class _Layer(nn.Module):
    """Self-attention over a caption's pieces, attention to the cells of its picture, and two linear layers.

    Normalised before each (Xiong et al. 2020). The captions of one picture share what its cells give to attention: with
    five captions a photo that is most of the work.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own, self.own_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.query, self.cells, self.cells_out = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def look(self, seen: torch.Tensor) -> Pair:
        """Keys and values of cells (n, cells, width)."""
        keys, values = (self._split(part) for part in self.cells(seen).chunk(2, dim=-1))
        return keys, values

    def forward(self, states: torch.Tensor, cells: Pair, past: Pair | None = None) -> tuple[torch.Tensor, Pair]:
        """States (n · c, tokens, width) of c captions for each of n pictures, and the captions' own keys and values.

        `past` are those of all earlier tokens, behind which a single one comes; without it the tokens are the first.
        """
        asked, keys, values = (self._split(part) for part in self.own(self.norms[0](states)).chunk(3, dim=-1))
        if past is not None:
            keys, values = (torch.cat(both, dim=2) for both in zip(past, (keys, values), strict=True))
        attended = functional.scaled_dot_product_attention(asked, keys, values, is_causal=past is None)
        states = states + self.dropout(self.own_out(self._joined(attended)))
        # All captions of a picture ask in one row.
        asked = self._split(self.query(self.norms[1](states)).view(len(cells[0]), -1, states.shape[-1]))
        found = self._joined(functional.scaled_dot_product_attention(asked, *cells))
        states = states + self.dropout(self.cells_out(found)).view(states.shape)
        return states + self.dropout(self.inner(self.norms[2](states))), (keys, values)

    def _split(self, vectors: torch.Tensor) -> torch.Tensor:
        split: torch.Tensor = vectors.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return split

    @staticmethod
    def _joined(vectors: torch.Tensor) -> torch.Tensor:
        return vectors.transpose(1, 2).flatten(2)


class CaptionDecoder(nn.Module):
    """What is seen of n grids and pieces (n · c, tokens) to logits of the next piece (n · c, tokens, vocabulary)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.cells = nn.Sequential(nn.LayerNorm(config.grid), nn.Linear(config.grid, width), nn.Dropout(config.dropout))
        self.pieces = nn.Embedding(config.vocabulary, width, padding_idx=PAD)
        nn.init.normal_(self.pieces.weight, std=width**-0.5)
        self.places = nn.Parameter(torch.randn(config.length + 1, width) * 0.02)
        self.layers = nn.ModuleList(_Layer(width, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def look(self, grid: torch.Tensor) -> list[Pair]:
        """Keys and values of grids (n, cells, channels), for each layer."""
        seen = self.cells(grid)
        return [layer.look(seen) for layer in self.layers]  # type: ignore[operator]

    def forward(self, seen: Sequence[Pair], pieces: torch.Tensor) -> torch.Tensor:
        return self.step(seen, pieces)[0]

    def step(
        self, seen: Sequence[Pair], pieces: torch.Tensor, past: Sequence[Pair] = ()
    ) -> tuple[torch.Tensor, list[Pair]]:
        """Logits of what comes after each piece, and keys and values of all pieces so far, for each layer.

        `past` are those of earlier pieces, behind which one comes (n · c, 1).
        """
        begin = past[0][0].shape[2] if past else 0
        states = self.pieces(pieces) * math.sqrt(self.config.width) + self.places[begin : begin + pieces.shape[1]]
        states = self.dropout(states)
        kept: list[Pair] = []
        for place, layer in enumerate(self.layers):
            states, own = layer(states, seen[place], past[place] if past else None)
            kept.append(own)
        return functional.linear(self.norm(states), self.pieces.weight), kept


@torch.inference_mode()
def beam_search(
    decoder: CaptionDecoder, grid: torch.Tensor, *, beams: int = 4, penalty: float = 0.8
) -> list[tuple[list[int], float]]:
    """Of n grids (n, cells, grid): the best caption's pieces and its mean log probability a piece.

    A finished caption is judged by its log probability over length ** `penalty` (Wu et al. 2016, without coverage); no
    pair of pieces comes twice, which small decoders like to do.
    """
    count, length = len(grid), decoder.config.length
    seen, past = decoder.look(grid), list[Pair]()
    pieces = torch.full((count * beams, 1), START)
    scores = torch.full((count, beams), -math.inf)
    scores[:, 0] = 0
    finished: list[list[tuple[float, list[int], float]]] = [[] for _ in range(count)]
    for step in range(1, length + 1):
        found, past = decoder.step(seen, pieces[:, -1:], past)
        logits = found[:, -1].float().log_softmax(-1)
        logits[:, [PAD, START, UNKNOWN]] = -math.inf
        for row, earlier in enumerate(pieces.tolist()):
            for first, second in pairwise(earlier):
                if first == earlier[-1]:
                    logits[row, second] = -math.inf
        totals = scores[:, :, None] + logits.view(count, beams, -1)
        best, places = totals.flatten(1).topk(2 * beams, dim=1)
        vocabulary = logits.shape[-1]
        rows = torch.arange(count)[:, None] * beams + places // vocabulary
        chosen = places % vocabulary
        kept_rows, kept_pieces, kept_scores = [], [], []
        for post in range(count):
            # A picture whose search is over is not searched on because of those beside it.
            kept, searching = 0, len(finished[post]) < beams
            for score, row, piece in zip(best[post].tolist(), rows[post].tolist(), chosen[post].tolist(), strict=True):
                if piece == END and searching:
                    finished[post].append((score / step**penalty, pieces[row, 1:].tolist(), score / step))
                elif piece != END and kept < beams:
                    kept += 1
                    kept_rows.append(row)
                    kept_pieces.append(piece)
                    kept_scores.append(score)
        pieces = torch.cat([pieces[kept_rows], torch.tensor(kept_pieces)[:, None]], dim=1)
        past = [(keys[kept_rows], values[kept_rows]) for keys, values in past]
        scores = torch.tensor(kept_scores).view(count, beams)
        # Every further piece only lowers a score: once as many captions ended as there are beams, none will win.
        if all(len(found) >= beams for found in finished):
            break
    for post in range(count):
        if not finished[post]:
            row, score = post * beams, float(scores[post, 0])
            finished[post].append((score, pieces[row, 1:].tolist(), score / length))
    return [max(found)[1:] for found in finished]
