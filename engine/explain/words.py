"""A title as parts that can be taken away: words, or groups of characters where a script writes no spaces."""

import itertools
import unicodedata

import emoji

# All subsets of the pieces are answered: two more would cost four times as much.
MOST_PIECES = 9

REMOVED = "Words taken away are deleted from the title; with all of them gone the title is empty."

# (first, last, script, most characters in a piece). Two Han characters make most Chinese words; the other lengths are
# about a word or a phrase.
_SPACELESS = (
    (0x0E00, 0x0EFF, "thai", 6),
    (0x1000, 0x109F, "burmese", 6),
    (0x1780, 0x17FF, "khmer", 6),
    (0x3005, 0x3007, "han", 2),
    (0x3041, 0x309F, "hiragana", 4),
    (0x30A0, 0x30FF, "katakana", 8),
    (0x31F0, 0x31FF, "katakana", 8),
    (0x3400, 0x4DBF, "han", 2),
    (0x4E00, 0x9FFF, "han", 2),
    (0xF900, 0xFAFF, "han", 2),
    (0xFF66, 0xFF9F, "katakana", 8),
    (0x20000, 0x3FFFF, "han", 2),
)
_JOINERS = ("\u200c", "\u200d")


def _script(character: str) -> tuple[str, int]:
    """Script and longest piece of a character written without spaces; ("", 0) for any other."""
    code = ord(character)
    return next(((name, most) for first, last, name, most in _SPACELESS if first <= code <= last), ("", 0))


def _opens(character: str) -> bool:
    """Whether a character is a bracket or quote of East Asian print that belongs to what follows it."""
    return character >= "\u3000" and unicodedata.category(character) in ("Ps", "Pi")


def _extends(character: str) -> bool:
    """Whether a character changes the one before it (accents, variation selectors, joiners)."""
    return character in _JOINERS or unicodedata.category(character).startswith("M")


def _starts(before: str, character: str, length: int) -> bool:
    """Whether a piece starts at `character`; `length` characters of the script of `before` stand right before it."""
    if character.isspace() or _extends(character) or before in _JOINERS:
        return False
    if before.isspace() or _opens(character):
        return not _opens(before)
    previous, most = _script(before)
    script, _ = _script(character)
    if script:
        # An inflection in hiragana stays with the Han characters it belongs to.
        follows = script == previous or (previous, script) == ("han", "hiragana")
        return length >= most if script == previous else not (follows or _opens(before))
    return bool(previous) and character.isalnum()


def split_title(title: str) -> tuple[str, ...]:
    """The pieces of a title, each with the spaces after it; joined they are the title again.

    Words end at spaces, and punctuation stays with its word. Scripts without spaces are cut where the script changes
    and after a few characters (two for Han). An emoji, however many code points it is made of, is a piece of its own.
    """
    emojis = {found["match_start"]: found["match_end"] for found in emoji.emoji_list(title)}
    cuts: list[int] = []
    length = index = emoji_end = 0
    while index < len(title):
        character = title[index]
        if index in emojis:
            cuts.append(index)
            index = emoji_end = emojis[index]
            continue
        before = title[index - 1] if index else " "
        if index and index == emoji_end:
            start = not (character.isspace() or _extends(character))
        else:
            start = _starts(before, character, length)
        if start:
            cuts.append(index)
        length = 1 if start or _script(before) != _script(character) else length + 1
        index += 1
    # Spaces before the first word have no word to follow, so they open its piece.
    bounds = [0, *cuts[1:], len(title)]
    return tuple(title[start:end] for start, end in itertools.pairwise(bounds) if end > start)


def group_pieces(pieces: tuple[str, ...], most: int = MOST_PIECES) -> tuple[str, ...]:
    """At most `most` pieces: neighbours are joined evenly, so that a long title costs no more than a short one."""
    if len(pieces) <= most:
        return pieces
    bounds = [len(pieces) * index // most for index in range(most + 1)]
    return tuple("".join(pieces[start:end]) for start, end in itertools.pairwise(bounds))
