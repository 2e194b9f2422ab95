"""How usual the words of a text are: BERT's word pieces, which come with MiniLM, the most frequent ones first.

A word of a language that the vocabulary was made from is one piece, the earlier the more usual it is; what somebody
typed at random falls into many (Devlin et al. 2019; Wu et al. 2016).
"""

import hashlib
from functools import cache
from typing import Any

import numpy as np

# What stands before the first piece is no part of a text.
_FIRST = 999
_UNKNOWN, _CONTINUED = "[UNK]", "##"
# Longer texts are rare, and their ends say nothing new.
_MOST_CHARACTERS = 300

COLUMNS = ("continued_share", "pieces_most", "whole_word_share", "word_rank_mean", "unknown_share")


@cache
def _vocabulary() -> tuple[Any, str]:
    """The tokenizer, without padding and truncation and so without state, and the hash of its file."""
    from tokenizers import Tokenizer

    from engine.encoders.packaged import minilm_folder

    file = minilm_folder() / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, hashlib.sha256(file.read_bytes()).hexdigest()


def vocabulary_hash() -> str:
    """Hash of the vocabulary. Raises EncoderError when MiniLM is not installed."""
    return _vocabulary()[1]


def make_up(text: str) -> tuple[float, ...]:
    """What a text is made of, by `COLUMNS`: zeros where it has no piece at all.

    Shares of pieces that continue a word and that are unknown; pieces of the word with most; share of words of letters
    that are one piece, and the mean logarithm of these pieces' ranks, of the last rank without any.
    """
    tokenizer = _vocabulary()[0]
    # Half of a character, which some programs write, is none.
    whole_characters = text[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()
    encoding = tokenizer.encode(whole_characters, add_special_tokens=False)
    pieces: list[str] = encoding.tokens
    if not pieces:
        return (0.0,) * len(COLUMNS)
    words: dict[int, list[int]] = {}
    for place, word in enumerate(encoding.word_ids):
        words.setdefault(word, []).append(place)
    letters = [places for places in words.values() if all(_is_letters(pieces[place]) for place in places)]
    whole = [encoding.ids[places[0]] for places in letters if len(places) == 1]
    ranks = np.maximum(np.array(whole or [tokenizer.get_vocab_size()]) - _FIRST, 0)
    return (
        sum(piece.startswith(_CONTINUED) for piece in pieces) / len(pieces),
        float(max(map(len, words.values()))),
        len(whole) / max(len(letters), 1),
        float(np.log1p(ranks).mean()),
        pieces.count(_UNKNOWN) / len(pieces),
    )


def _is_letters(piece: str) -> bool:
    return piece.removeprefix(_CONTINUED).isalpha()
