"""What each signal of picture and words is called, and what it says, in one sentence."""

from typing import NamedTuple


class Signal(NamedTuple):
    label: str
    meaning: str


SIGNALS = {
    "similarity": Signal(
        "Similarity of picture and title",
        "Cosine of picture and title in the aligned space: higher where both say the same thing. Posts that the "
        "alignment learned from are left out.",
    ),
    "caption_consistency": Signal(
        "Similarity of title and caption",
        "Cosine of the title and of what a captioner says of the picture: higher where both name the same things.",
    ),
    "log_perplexity": Signal(
        "Unusual wording",
        "How unusual the wording is to a language model, as its log perplexity: higher where it is odder.",
    ),
    "bits_per_character": Signal(
        "Unusual wording, for a character",
        "How unusual the wording is to a language model in bits a character, however the model divides words.",
    ),
    "title_written": Signal("Title in the picture", "Share of the title's words that are written in the picture too."),
    "lettering_in_title": Signal(
        "Lettering in the title", "Share of the words written in the picture that the title has too."
    ),
    "lettering_boxes": Signal("Lines of lettering", "How many lines are written in the picture."),
    "lettering_area": Signal("Area of lettering", "Share of the picture that is covered by lettering."),
    "faces": Signal("Faces", "How many faces look out of the picture."),
    "smile": Signal(
        "Smile", "How much the largest face smiles, 0 to 1; pictures without a face have nothing to say of it."
    ),
}


def signal(name: str) -> Signal:
    """The signal's name on screen and its meaning; an unknown one is called what the report calls it."""
    plain = name.replace("_", " ").capitalize()
    return SIGNALS.get(name, Signal(plain, "A signal that this dashboard has no definition of."))


def ordered(names: list[str]) -> list[str]:
    """Signals in the order above, unknown ones last."""
    return [name for name in SIGNALS if name in names] + sorted(set(names) - set(SIGNALS))
