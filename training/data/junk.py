"""Titles that nobody publishes, made up: what people type first to see what a page does.

Members of a recipe with `junk` also learn from them, and the guard's figures are measured on them. The kinds of
`LEARNED` may be learned from; those of `UNSEEN` are kept for measuring what the guard catches of junk that nothing was
fitted on.
"""

import string
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice

import numpy as np

Draw = np.random.Generator
Title = Callable[[Draw, Sequence[str]], str]
NEUTRAL = 0.0

KEY_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890")

_LATIN = (
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna "
    "aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea commodo consequat"
).split()
_PLACEHOLDERS = (
    "test", "testing", "test 123", "title", "my title", "title here", "untitled", "untitled project", "new project",
    "draft", "draft 2", "hello", "hello world", "hi", "foo", "foo bar", "xxx", "todo", "tbd", "n/a", "none", "null",
    "placeholder", "sample text", "your title here", "video", "my video", "new video", "example", "something", "blah",
)  # fmt: skip
_PLACEHOLDERS_ELSEWHERE = (
    "insert title", "enter text", "undefined", "NaN", "qux", "baz", "abc", "abcdef", "yo", "ok", "just checking",
    "does this work", "is this on", "trying this out", "no title", "default", "item 1", "post", "picture", "image",
    "photo", "thumbnail", "upload", "name", "string", "text", "copy of copy", "final final", "old", "temp",
)  # fmt: skip
_CODE = (
    "for i in range({n}): print(i)", "import numpy as np", "SELECT * FROM users WHERE id = {n};", "<div class='a{n}'>",
    '{{"key": {n}, "value": null}}', "def f(x): return x + {n}", "git commit -m 'fix'", "https://example.com/a?id={n}",
    "C:\\Users\\me\\file{n}.txt", "if (x == {n}) {{ return; }}", "console.log({n})", "/home/me/{n}/out.log",
)  # fmt: skip
_CODE_ELSEWHERE = (
    "fn main() {{ print!({n}); }}", "#include <stdio.h>", "let x = [...Array({n}).keys()]", "sudo apt install x{n}",
    "ALTER TABLE t ADD COLUMN c{n} INT", "Traceback (most recent call last):", "a:hover {{ color: #{n:06x} }}",
    "127.0.0.1:{n}", "npm ERR! code E{n}", "=SUM(A1:A{n})", "{{% block b{n} %}}", "SIGSEGV at 0x{n:08x}",
)  # fmt: skip
_STATUS = (
    "404 Not Found", "Loading...", "Upload complete", "No results found", "Session timed out", "Something went wrong",
    "Connection lost", "Saved", "{n} of {n} files copied", "Access denied", "Update available", "Low battery", "OK",
    "Printing page {n}", "Error {n}: unknown", "No internet connection", "Please wait", "Download failed", "Offline",
    "Installing {n} %", "You have {n} new messages", "Storage almost full", "Invalid password", "Out of memory", "Done",
    "Are you sure?", "Your changes were not saved", "Process finished with exit code {n}", "Timeout", "Not available",
)  # fmt: skip
# Written when the guards had been settled.
_FORM_FIELDS = (
    "First name", "Last name *", "E-mail address", "Subject:", "Enter your comment", "Click here to upload a file",
    "Select an option", "Page {n} of {n}", "Last updated 2 days ago", "Forgot your password?", "Sign in", "Submit",
    "Cancel", "Add a caption", "Search {n} results", "Drag and drop a file here", "Your cart is empty", "Read more »",
    "Accept all cookies", "Settings > Privacy", "Session expired, log in again", "Rows per page: {n}", "Required field",
)  # fmt: skip
_MARK_UP = (
    "# Heading {n}", "**bold** and *italic*", "[link](page{n}.html)", "| a | b | c |", "- [ ] item {n}",
    "\\frac{{a}}{{b}} + {n}", "\\begin{{equation}} x_{n} \\end{{equation}}", "&nbsp;&lt;b&gt;{n}&lt;/b&gt;",
    "<p>Text {n}</p>", "![image](img{n})", "{{{{ title }}}}", "<!-- {n} -->", "@media print {{ }}", "$E = mc^2$",
    "---\ntitle: {n}\n---",
)  # fmt: skip
# One plain sentence each in languages that trending lists of English-speaking countries hardly hold.
_LANGUAGES = (
    "Tänään sataa lunta koko päivän pohjoisessa", "A kutya a kertben alszik egész délután",
    "Dnes budeme péct chleba podle starého receptu", "Astăzi gătim o ciorbă după rețeta bunicii",
    "Leo tunapika chakula cha jioni na familia", "Í dag förum við í langan göngutúr við sjóinn",
    "Danes bomo popravili staro leseno mizo", "Šodien mēs cepsim rupjmaizi mājās", "Gaur etxean ogia egingo dugu",
    "Heddiw byddwn yn coginio cawl i'r teulu", "Σήμερα θα φτιάξουμε ψωμί στο σπίτι", "დღეს სახლში პურს გამოვაცხობთ",
    "Այսօր մենք հաց ենք թխելու տանը", "היום נאפה לחם בבית עם הילדים", "วันนี้เราจะทำขนมปังที่บ้าน",
    "ዛሬ ቤት ውስጥ ዳቦ እንጋግራለን", "Өнөөдөр бид гэртээ талх барина", "Днес ще изпечем хляб у дома с децата",
    "今日は家でパンを焼きます", "আজ আমরা বাড়িতে রুটি বানাব",
)  # fmt: skip
# Blocks of letters that are made into words without meaning; those of the languages above are not among them.
_SCRIPTS = (
    (0x0400, 0x0460), (0x0620, 0x064B), (0x0710, 0x0730), (0x0A05, 0x0A3A), (0x0B85, 0x0BBA), (0x0C05, 0x0C3A),
    (0x0D05, 0x0D3B), (0x0D85, 0x0DC7), (0x0F40, 0x0F6D), (0x1000, 0x1027), (0x13A0, 0x13F5), (0x1780, 0x17B4),
    (0x4E00, 0x9FA0),
)  # fmt: skip
_SOUNDS = ("bcdfghjklmnprstvzčđłñšžçşğ", "aeiouyäöüåøáéíóúāēīõ", "nstkmrlšćž")


def _word(draw: Draw, letters: str, shortest: int, longest: int) -> str:
    return "".join(draw.choice(list(letters), int(draw.integers(shortest, longest + 1))))


def mash(draw: Draw, titles: Sequence[str] = ()) -> str:
    """What a hand that runs over the keys types."""
    words = [_word(draw, str(draw.choice(KEY_ROWS[:3])), 3, 10) for _ in range(int(draw.integers(1, 4)))]
    if draw.random() < 0.3:
        row = str(draw.choice(KEY_ROWS))
        start = int(draw.integers(0, len(row) - 3))
        words = [row[start : start + int(draw.integers(3, 8))] * int(draw.integers(1, 4))]
    text = " ".join(words)
    return text.upper() if draw.random() < 0.15 else text


def _random_letters(draw: Draw, titles: Sequence[str]) -> str:
    pool = string.ascii_letters + string.digits + (string.punctuation if draw.random() < 0.4 else "")
    return " ".join(_word(draw, pool, 2, 12) for _ in range(int(draw.integers(1, 6))))


def _short(draw: Draw, titles: Sequence[str]) -> str:
    if draw.random() < 0.5:
        return _word(draw, string.ascii_letters + string.digits, 1, 2)
    return str(draw.choice(list(string.ascii_lowercase + string.digits + ".!?-_#*"))) * int(draw.integers(2, 12))


def _file_name(draw: Draw, titles: Sequence[str]) -> str:
    number, ending = int(draw.integers(1, 10000)), str(draw.choice(["jpg", "JPG", "mov", "mp4", "png", "MOV", "HEIC"]))
    date = f"{draw.integers(2015, 2027)}{draw.integers(1, 13):02d}{draw.integers(1, 29):02d}"
    forms = [f"IMG_{number:04d}", f"DSC{number:05d}", f"VID_{date}_{number:06d}", f"IMG-{date}-WA{number % 100:04d}",
             f"final_v{number % 9}", f"clip {number}", f"Untitled-{number % 9}", f"export_{date}"]  # fmt: skip
    return f"{draw.choice(forms)}.{ending}" if draw.random() < 0.7 else str(draw.choice(forms))


def _file_name_elsewhere(draw: Draw, titles: Sequence[str]) -> str:
    number, ending = int(draw.integers(1, 10000)), str(draw.choice(["webp", "avi", "psd", "gif", "mkv", "tiff", "pdf"]))
    forms = [f"GOPR{number:04d}", f"P{number:07d}", f"PXL_{number}", f"Screen Shot {number % 12 + 1}.{number % 60}",
             f"MVI_{number}", f"thumbnail_draft{number % 9}", f"00{number}", f"scan{number:03d}",
             f"Document {number}"]  # fmt: skip
    return f"{draw.choice(forms)}.{ending}" if draw.random() < 0.7 else str(draw.choice(forms))


def _latin(draw: Draw, titles: Sequence[str]) -> str:
    start, count = int(draw.integers(0, 12)), int(draw.integers(2, 14))
    text = " ".join(_LATIN[start : start + count])
    return text.capitalize() if draw.random() < 0.5 else text


def _hash(draw: Draw, titles: Sequence[str]) -> str:
    digits = _word(draw, "0123456789abcdef", 16, 40)
    return digits if draw.random() < 0.5 else "-".join([digits[:8], digits[4:8], digits[8:12], digits[10:16]])


def _numbers(draw: Draw, titles: Sequence[str]) -> str:
    year, month, day, number = (int(draw.integers(*ends)) for ends in ((2000, 2030), (1, 13), (1, 29), (0, 10000)))
    forms = [f"{year}-{month:02d}-{day:02d}", f"{month:02d}/{day:02d}/{year} {number % 24:02d}:{number % 60:02d}",
             f"+{day} (555) {number % 900:03d}-{number:04d}", f"{number / 100:.2f} %", f"v{month}.{day}.{number % 9}",
             f"{day} x {month} = {day * month}", f"$ {number:,}.00", f"{month}, {day}, {number}", f"#{number:06d}",
             f"{day}°{number % 60}'N {month}°{day}'E"]  # fmt: skip
    return str(draw.choice(forms))


def _from(*texts: str) -> Title:
    def title(draw: Draw, titles: Sequence[str]) -> str:
        text = str(draw.choice(texts)).format(n=int(draw.integers(0, 9999)))
        return text.title() if draw.random() < 0.2 else text

    return title


def _languages(draw: Draw, titles: Sequence[str]) -> str:
    return str(draw.choice(_LANGUAGES))


def _other_scripts(draw: Draw, titles: Sequence[str]) -> str:
    first, last = _SCRIPTS[int(draw.integers(len(_SCRIPTS)))]
    letters = [chr(code) for code in range(first, last) if chr(code).isalpha()]
    return " ".join(_word(draw, "".join(letters), 2, 9) for _ in range(int(draw.integers(2, 8))))


def _invented_language(draw: Draw, titles: Sequence[str]) -> str:
    onsets, vowels, ends = (draw.choice(list(pool), size) for pool, size in zip(_SOUNDS, (7, 5, 4), strict=True))

    def word() -> str:
        syllables = (str(draw.choice(onsets)) + str(draw.choice(vowels)) for _ in range(int(draw.integers(1, 5))))
        return "".join(syllables) + (str(draw.choice(ends)) if draw.random() < 0.5 else "")

    return " ".join(word() for _ in range(int(draw.integers(3, 9)))).capitalize()


def _shuffled_letters(draw: Draw, titles: Sequence[str]) -> str:
    words = str(draw.choice(titles)).split()[: int(draw.integers(2, 9))]
    return " ".join("".join(draw.permutation(list(word))) for word in words)


def _shuffled_words(draw: Draw, titles: Sequence[str]) -> str:
    words = [word for title in draw.choice(titles, 8) for word in str(title).split()]
    return " ".join(draw.permutation(words)[: int(draw.integers(3, 11))])


LEARNED: Mapping[str, Title] = {
    "keyboard mash": mash,
    "random characters": _random_letters,
    "single characters": _short,
    "file names": _file_name,
    "lorem ipsum": _latin,
    "placeholders": _from(*_PLACEHOLDERS),
    "code": _from(*_CODE),
    "other scripts": _other_scripts,
    "invented languages": _invented_language,
    "shuffled letters": _shuffled_letters,
    "shuffled words": _shuffled_words,
    "dates and numbers": _numbers,
    "mark-up": _from(*_MARK_UP),
    "status messages": _from(*_STATUS),
}
UNSEEN: Mapping[str, Title] = {
    "other placeholders": _from(*_PLACEHOLDERS_ELSEWHERE),
    "other file names": _file_name_elsewhere,
    "other code": _from(*_CODE_ELSEWHERE),
    "hashes": _hash,
    "other languages": _languages,
    "form fields": _from(*_FORM_FIELDS),
}


def junk_titles(
    kinds: Mapping[str, Title], count: int, titles: Sequence[str], seed: int | Sequence[int]
) -> list[tuple[str, str]]:
    """`count` made-up (kind, title), every kind as often as another; `titles` lend words to the shuffled ones."""
    draw = np.random.default_rng(seed)
    pool = [title for title in titles if title.strip()] or [" ".join(_LATIN)]
    return [(name, make(draw, pool)) for name, make in islice(cycle(kinds.items()), count)]
