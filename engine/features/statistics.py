"""Plain statistics of titles and pictures: cheap, readable features that need no network.

Nothing here depends on how many pixels a picture has: it is resized to `PICTURE_SIZE` first, and neither its width,
its height nor its file size is looked at.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float32]

# --- titles ---

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_HASHTAG = re.compile(r"#\w*[^\W\d_]\w*")
_DASH = re.compile(r"(?:^|\s)[-–—]+(?:\s|$)|[–—]")
_ELLIPSIS = re.compile(r"\.{2,}|…")
_QUOTES = re.compile(r"[\"“”„«»「」『』]|(?<!\w)['‘][^'’]+['’](?!\w)")
_BRACKETS = re.compile(r"[(\[{（［【「《]")
_MONEY = re.compile(r"[$€£¥₹₩]")
_RANKING = re.compile(r"\btop\s+\d+|^\W*\d+\s+[^\W\d]", re.IGNORECASE)
_PICTOGRAM = (
    "[\U0001f300-\U0001f3fa\U0001f400-\U0001faff\u2600-\u27bf\u2b50\u2b55\u231a\u231b\u23e9-\u23fa\u203c\u2049]"
)
_JOINED = "[\ufe0f\U0001f3fb-\U0001f3ff]*"
_EMOJI = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|{_PICTOGRAM}{_JOINED}(?:\u200d(?:{_PICTOGRAM}|[\u2640\u2642\u2695]){_JOINED})*"
)
_SCRIPTS = {
    "latin": re.compile("[A-Za-zªº\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0620-\u064a\u066e-\u06d3\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc]"),
    "devanagari": re.compile("[\u0904-\u0939\u0958-\u0961]"),
    "hangul": re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]"),
    "kana": re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUESTION_WORDS = _words("who what when where why how which whose is are can could do does did should will would")
_VOCABULARIES = {
    "first_person": _words("i me my mine myself we us our ours i'm i've i'll i'd we're we've we'll"),
    "second_person": _words("you your yours yourself you're you've you'll u ur"),
    "third_person": _words("he him his she her hers they them their he's she's they're"),
    "superlatives": _words(
        "best worst most least biggest largest smallest greatest longest shortest fastest slowest strongest hardest "
        "easiest craziest scariest funniest weirdest rarest cheapest richest tallest deadliest ultimate ever top"
    ),
    "negations": _words("no not never nothing nobody without don't can't won't didn't isn't stop"),
    "strong_words": _words(
        "insane crazy shocking shocked amazing incredible unbelievable epic extreme secret exposed scary terrifying "
        "emotional heartbreaking worst destroyed gone wrong finally surprise surprised surprising impossible dead die "
        "killed love hate cry crying perfect wow omg"
    ),
    "news_words": _words("new news today now live breaking update latest first last finally reveal revealed official"),
    "release_words": _words(
        "official trailer teaser video audio lyrics lyric mv album song clip music visualizer film"
    ),
    "series_words": _words("episode ep part pt season series chapter vol volume day week round game highlights"),
    "with_words": _words("ft feat featuring with x prod"),
    "versus_words": _words("vs versus v against"),
    "tutorial_words": _words("how tutorial guide tips tricks diy learn explained review recipe make making build"),
    "function_words": _words(
        "a an the and or but of to in on at for from by with as is are was were be been it its this that these those "
        "i you he she we they my your his her our their so if then than not"
    ),
}

TEXT_STATISTICS: tuple[str, ...] = (
    *("characters", "words", "mean_word_length", "longest_word", "distinct_word_share"),
    *("upper_share", "capital_words", "capital_word_share", "capitalised_word_share"),
    *("digit_share", "numbers", "has_number", "has_year", "money", "ranking"),
    *("question_marks", "exclamation_marks", "ellipses", "quotes", "hashtags", "mentions", "emoji"),
    *("bars", "dashes", "colons", "commas", "ampersands", "brackets", "punctuation_share", "non_ascii_share"),
    "question_word_first",
    *_VOCABULARIES,
    *(f"{script}_share" for script in _SCRIPTS),
)


def _text_row(text: str) -> list[float]:
    length = len(text)
    raw_words = _WORD.findall(text)
    words = [word.lower().replace("’", "'") for word in raw_words]
    count = len(words)
    lengths = [len(word) for word in words]
    per_word = 1.0 / max(count, 1)
    per_character = 1.0 / max(length, 1)
    ascii_only = text.isascii()
    letters = sum(map(str.isalpha, text))
    per_letter = 1.0 / max(letters, 1)
    capitals = sum(len(word) > 1 and word.isupper() for word in raw_words)
    numbers = len(_NUMBER.findall(text))
    digits = sum(map(str.isdigit, text))
    plain = sum(map(str.isalnum, text)) + sum(map(str.isspace, text))
    row = [
        *(length, count, sum(lengths) * per_word, max(lengths, default=0), len(set(words)) * per_word),
        *(sum(map(str.isupper, text)) * per_letter, capitals, capitals * per_word),
        sum(word[0].isupper() for word in raw_words) * per_word,
        *(digits * per_character, numbers, numbers > 0, numbers > 0 and _YEAR.search(text) is not None),
        *(len(_MONEY.findall(text)), numbers > 0 and _RANKING.search(text) is not None),
        *(text.count("?") + text.count("？"), text.count("!") + text.count("！"), len(_ELLIPSIS.findall(text))),
        *(len(_QUOTES.findall(text)), len(_HASHTAG.findall(text)), text.count("@")),
        0 if ascii_only else len(_EMOJI.findall(text)),
        *(text.count("|") + text.count("｜"), len(_DASH.findall(text)), text.count(":") + text.count("：")),
        *(text.count(","), text.count("&"), len(_BRACKETS.findall(text))),
        (length - plain) * per_character,
        0.0 if ascii_only else sum(character > "\x7f" for character in text) * per_character,
        bool(words) and words[0] in _QUESTION_WORDS,
        *(sum(word in vocabulary for word in words) for vocabulary in _VOCABULARIES.values()),
    ]
    if ascii_only:
        return [*row, float(letters > 0), *[0.0] * (len(_SCRIPTS) - 1)]
    return [*row, *(len(script.findall(text)) * per_letter for script in _SCRIPTS.values())]


def text_statistics(titles: Sequence[str]) -> Array:
    """Statistics of n titles, float32 of shape (n, len(TEXT_STATISTICS)).

    Shares are of characters, of words, or (case and scripts) of letters; the rest are counts or 0/1. The word lists
    are English. An empty title gives a row of zeros.
    """
    rows = [_text_row(title) for title in titles]
    return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(TEXT_STATISTICS))


# --- pictures ---

# Smaller than the smallest covers seen (120×68), so that every picture is scaled down and equally blurred.
PICTURE_SIZE = (96, 54)
_BLOCK = 6
_CHUNK = 64
_HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
_CELLS = tuple(f"{row}_{column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right"))

PICTURE_STATISTICS: tuple[str, ...] = (
    *("brightness_mean", "brightness_std", "contrast", "dark_share", "bright_share", "entropy"),
    *("saturation_mean", "saturation_std", "vivid_share", "colourfulness", "warm_share", "cool_share"),
    *(f"hue_{hue}" for hue in _HUES),
    *("skin_share", "skin_centre"),
    *("centre_brightness", "centre_saturation", "symmetry", "bars_horizontal", "bars_vertical"),
    *("sharpness", "edge_density", "edge_horizontal_share", "text_density", "text_bottom"),
    *(f"edges_{cell}" for cell in _CELLS),
)


def _mean(values: npt.NDArray[np.generic]) -> Array:
    """Mean over every axis but the first."""
    return values.reshape(len(values), -1).mean(axis=1, dtype=np.float32)


def _light(luma: npt.NDArray[np.uint8]) -> list[Array]:
    """Brightness, contrast (95th − 5th percentile) and Shannon entropy in bits, from each picture's histogram."""
    count = len(luma)
    flat = luma.reshape(count, -1).astype(np.int64) + 256 * np.arange(count)[:, None]
    histogram = np.bincount(flat.ravel(), minlength=256 * count).reshape(count, 256) / flat.shape[1]
    cumulative = histogram.cumsum(axis=1)
    values = np.arange(256) / 255.0
    mean = histogram @ values
    deviation = np.sqrt(np.maximum(histogram @ values**2 - mean**2, 0.0))
    contrast = ((cumulative < 0.95).sum(axis=1) - (cumulative < 0.05).sum(axis=1)) / 255.0
    # Eight grey values a bin: a finer histogram would count noise as information.
    coarse = histogram.reshape(count, 32, 8).sum(axis=2)
    entropy = -(coarse * np.log2(np.maximum(coarse, 1e-12))).sum(axis=1)
    return [mean, deviation, contrast, histogram[:, :51].sum(axis=1), histogram[:, 204:].sum(axis=1), entropy]


def _colour(rgb: Array, hue: Array, saturation: Array, value: Array) -> list[Array]:
    """Saturation, colourfulness, warm and cool shares, and hues weighted by chroma."""
    red_green = rgb[..., 0] - rgb[..., 1]
    yellow_blue = (rgb[..., 0] + rgb[..., 1]) / 2 - rgb[..., 2]
    axes = np.stack([red_green, yellow_blue]).reshape(2, len(rgb), -1)
    colourfulness = np.sqrt((axes.var(axis=2)).sum(axis=0)) + 0.3 * np.sqrt((axes.mean(axis=2) ** 2).sum(axis=0))
    chroma = saturation * value
    total = chroma.reshape(len(chroma), -1).sum(axis=1) + 1e-3
    sector = ((hue + 1 / 12) % 1.0 * len(_HUES)).astype(np.int64)
    hues = [(chroma * (sector == index)).reshape(len(chroma), -1).sum(axis=1) / total for index in range(len(_HUES))]
    coloured = chroma > 0.15
    warm = coloured & ((hue < 1 / 6) | (hue > 11 / 12))
    cool = coloured & (hue > 5 / 12) & (hue < 3 / 4)
    spread = saturation.reshape(len(saturation), -1).std(axis=1)
    vivid = _mean((saturation > 0.6) & (value > 0.5))
    return [_mean(saturation), spread, vivid, colourfulness, _mean(warm), _mean(cool), *hues]


def _bars(luma: Array, axis: int) -> Array:
    """Share of the picture's lines (rows for axis 1, columns for axis 2) that are black bars at its two ends."""
    black = luma.max(axis=3 - axis) < 0.12
    leading = np.cumprod(black, axis=1).sum(axis=1)
    trailing = np.cumprod(black[:, ::-1], axis=1).sum(axis=1)
    return np.minimum(leading + trailing, black.shape[1]) / black.shape[1]


def _layout(luma: Array, saturation: Array, skin: Array) -> list[Array]:
    """Centre against border, left–right symmetry (correlation with the mirror image), black bars."""
    height, width = luma.shape[1:]
    rows, columns = slice(height // 4, height - height // 4), slice(width // 4, width - width // 4)

    def against_border(values: Array) -> Array:
        inner, total = values[:, rows, columns], values.sum(axis=(1, 2))
        inside = inner.sum(axis=(1, 2))
        size = inner.shape[1] * inner.shape[2]
        return inside / size - (total - inside) / (height * width - size)

    centred = luma - luma.mean(axis=(1, 2), keepdims=True)
    symmetry = _mean(centred * centred[:, :, ::-1]) / (_mean(centred**2) + 1e-4)
    return [
        *(_mean(skin), _mean(skin[:, rows, columns])),
        *(against_border(luma), against_border(saturation), symmetry, _bars(luma, 1), _bars(luma, 2)),
    ]


def _detail(luma: Array) -> list[Array]:
    """Sharpness, edges overall and in a 3×3 grid, and blocks that look like lettering."""
    count, height, width = luma.shape
    across = np.zeros_like(luma)
    down = np.zeros_like(luma)
    across[:, :, 1:-1] = (luma[:, :, 2:] - luma[:, :, :-2]) / 2
    down[:, 1:-1] = (luma[:, 2:] - luma[:, :-2]) / 2
    laplacian = (
        luma[:, 2:, 1:-1] + luma[:, :-2, 1:-1] + luma[:, 1:-1, 2:] + luma[:, 1:-1, :-2] - 4 * luma[:, 1:-1, 1:-1]
    )
    sharpness = np.log(laplacian.reshape(count, -1).var(axis=1) + 1e-4)
    edges = np.hypot(across, down) > 0.1
    horizontal = (edges & (np.abs(down) > np.abs(across))).sum(axis=(1, 2)) / (edges.sum(axis=(1, 2)) + 1.0)
    grid = edges.reshape(count, 3, height // 3, 3, width // 3).mean(axis=(2, 4), dtype=np.float32)
    shape = (count, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    blocks = luma.reshape(shape)
    contrast = blocks.max(axis=(2, 4)) - blocks.min(axis=(2, 4))
    lettering = (contrast > 0.6) & (edges.reshape(shape).mean(axis=(2, 4)) > 0.5)
    bottom = lettering[:, -lettering.shape[1] // 3 :]
    return [sharpness, _mean(edges), horizontal, _mean(lettering), _mean(bottom), *grid.reshape(count, 9).T]


def _picture_rows(images: Sequence[Image.Image]) -> Array:
    plain = (image if image.mode == "RGB" else image.convert("RGB") for image in images)
    small = [image.resize(PICTURE_SIZE, Image.Resampling.BILINEAR, reducing_gap=2.0) for image in plain]
    rgb = np.stack([np.asarray(image) for image in small])
    hsv = np.stack([np.asarray(image.convert("HSV")) for image in small]).astype(np.float32) / 255.0
    ycc = np.stack([np.asarray(image.convert("YCbCr")) for image in small])
    luma = ycc[..., 0].astype(np.float32) / 255.0
    blue, red = ycc[..., 1], ycc[..., 2]
    skin = ((blue >= 77) & (blue <= 127) & (red >= 133) & (red <= 173)).astype(np.float32)
    columns = [
        *_light(ycc[..., 0]),
        *_colour(rgb.astype(np.float32), hsv[..., 0], hsv[..., 1], hsv[..., 2]),
        *_layout(luma, hsv[..., 1], skin),
        *_detail(luma),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def picture_statistics(images: Sequence[Image.Image]) -> Array:
    """Statistics of n pictures, float32 of shape (n, len(PICTURE_STATISTICS)).

    Brightness, saturation and shares run 0..1. Colourfulness is Hasler & Süsstrunk (2003), eq. 4, on 0..255 values
    (0 grey, above 80 extremely colourful). Skin is the rule of Chai & Ngan (1999): 77 ≤ Cb ≤ 127, 133 ≤ Cr ≤ 173;
    it fires on sand and wood too. Sharpness is the log variance of the Laplacian. Edges are pixels whose luma
    gradient exceeds 0.1 a pixel; lettering is a 6×6 block full of edges that holds both dark and bright.
    """
    chunks = [_picture_rows(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)]
    return np.concatenate(chunks) if chunks else np.empty((0, len(PICTURE_STATISTICS)), dtype=np.float32)
