"""What a title's language may have to do with its answer."""

from collections.abc import Mapping

from engine.language import LANGUAGES, language_of
from ui.bars import percent

# Of the titles that a model learned from: of a language with less, little is known.
FEW = 0.05
# Nonsense is taken for some language or other with less.
SURE = 0.8


def remark(title: str, learned: Mapping[str, float]) -> str:
    """That a title is in a language that few of those were in which the model learned from; "" where it is not.

    `learned` are the shares of those titles by language, of which there may be none.
    """
    language = language_of(title, SURE)
    share = learned.get(language or "", 0.0)
    if language is None or not learned or share >= FEW:
        return ""
    most = max(learned, key=lambda name: learned[name])
    return (
        f"The title seems to be {LANGUAGES[language]}. Of those that the model learned from "
        f"{percent(share) if share else 'none'} were, and {percent(learned[most])} were {LANGUAGES[most]}."
    )


def told(learned: Mapping[str, float]) -> str:
    """The language of most of the titles that a model learned from, to add; "" where that is not known."""
    if not learned:
        return ""
    most = max(learned, key=lambda name: learned[name])
    return f" Of the titles {percent(learned[most])} are {LANGUAGES[most]}, as far as their language can be told."
