"""The language of a title, for display. An extra: without py3langid (`requirements-signals.txt`) none is named."""

import re
from functools import cache
from importlib.util import find_spec
from typing import Any

# A title says too little to name a language of the 130 that the identifier knows: it would find Latin and Nigerian
# Pidgin in every fourth. Among these, at this probability, what it still gets wrong are titles that mix languages.
LANGUAGES = {
    **{"ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German"},
    **{"el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French"},
    **{"he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian"},
    **{"ja": "Japanese", "ko": "Korean", "ml": "Malayalam", "mr": "Marathi", "ms": "Malay", "nl": "Dutch"},
    **{"no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak"},
    **{"sr": "Serbian", "sv": "Swedish", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish"},
    **{"uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese"},
}
PROBABILITY = 0.5
LETTERS = 10
# A Chinese or Korean character says as much as a few Latin letters.
LETTERS_DENSE = 3

_DENSE = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_NO_WORDS = re.compile(r"https?://\S+|[@#]\w+|[\W\d_]+")


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(LANGUAGES))
    return identifier


def language_of(title: str, least: float = PROBABILITY) -> str | None:
    """ISO 639-1 code of a title's language; None where it is too short to say, no language has at least that
    probability, or py3langid is missing."""
    words = _NO_WORDS.sub(" ", title.lower()).strip()
    letters = len(words.replace(" ", ""))
    if (letters < LETTERS and len(_DENSE.findall(words)) < LETTERS_DENSE) or find_spec("py3langid") is None:
        return None
    language, probability = _identifier().classify(words)
    return str(language) if probability >= least else None
