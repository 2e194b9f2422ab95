"""SMPD, the Social Media Prediction Dataset (smp-challenge.com): posts of Flickr with their context and a popularity.

A source is the folder of the training part; the test part has no labels. Its tables lie there or in one folder below:

| file | holds |
| --- | --- |
| `train_label.txt` | one popularity a line |
| `train_img_filepath.txt` (`train_img.txt`) | one path a line, `train/<Uid>/<Pid>.jpg` |
| `train_text.json` (`train_tags.json`) | Pid, Uid, Title, Mediatype, Alltags (words apart by spaces) |
| `train_category.json` | Pid, Uid, Category, Subcategory, Concept |
| `train_temporalspatial_information.json` (`train_temporalspatial.json`) | Pid, Uid, Postdate, Latitude, Longitude, … |
| `train_user_data.json` (`train_userdata.json`) | Pid, Uid, photo_count, ispro, canbuypro, timezone_offset, … |

The first three must be there and correspond line by line; the others may be missing, and the features made of them are
then absent. A JSON table is a list of rows, or one object from column to row to value; tables with a Pid are joined by
it. A post whose path, label or place is not what it should be is dropped by itself.

- Established by the organisers' description and by several public programs that read the files: all names above, both
  JSON forms, which lines correspond, that the label is a log of views, that Postdate and photo_firstdate are Unix
  seconds, and that a Geoaccuracy of 0 (beside a latitude and a longitude of 0) means that there is no place.
- Assumed: that the label is log2(views a day) + 1, as the task's papers state it; that a timezone_offset without a
  colon is a number of hours; and that facts of the account are those of the day when the posts were collected, so that
  `photo_count` may count pictures that came after the post. None of this was tried on the dataset itself, which is
  handed out on registration and was not at hand.
- The account is the `group`. Category alone of the three ranks is kept. `train_additional_information.json` holds
  nothing that is known to matter, and the users' descriptions are vectors of other people's making: both are not read.
- Its licence is for research; pictures and words may not be passed on. `prepare` refers to pictures by path.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pandas as pd

from engine.errors import DataError
from training.data.sources.base import BATCH_ROWS, Dataset, fit_tags, pick_columns

Names = tuple[str, ...]
LABEL: Names = ("train_label.txt",)
PATHS: Names = ("train_img_filepath.txt", "train_img.txt")
TEXT: Names = ("train_text.json", "train_tags.json")
CATEGORY: Names = ("train_category.json",)
TEMPORAL: Names = ("train_temporalspatial_information.json", "train_temporalspatial.json")
USER: Names = ("train_user_data.json", "train_userdata.json")
# Longer texts of the user table are vectors, gigabytes of them.
LONGEST_FACT = 100
DAY = 86_400

Row = Mapping[str, Any]


class SMPD(Dataset):
    """Pictures with title, tags, category, time, place and account, and a popularity in the place of counts."""

    name = "smpd"
    description = "the Social Media Prediction Dataset"
    image = "path"
    score_formula = "popularity as published: 2^label, where the label is log2(views a day) + 1"
    notes = (
        "On this dataset what the user did before decides; figures of other protocols are not compared.",
        "An account's number of pictures is that of the day when the posts were collected, not of the post.",
    )
    columns: ClassVar = {
        "post_id": ("pid",),
        "title": ("title",),
        "tags": ("alltags",),
        "category": ("category",),
        "group": ("uid",),
        "published_at": ("postdate",),
        "latitude": ("latitude",),
        "longitude": ("longitude",),
    }
    required = ("post_id", "title", "group")

    def tables(self, source: Path) -> list[Path]:
        folder = _folder(source)
        named = [_first(folder, names) for names in (LABEL, PATHS, TEXT, CATEGORY, TEMPORAL, USER)]
        return [path for path in named if path is not None]

    def folders(self, source: Path) -> list[Path]:
        pictures = _pictures(source)
        return sorted(path for path in pictures.iterdir() if path.is_dir()) if pictures.is_dir() else []

    def count(self, source: Path) -> int | None:
        return len(_lines(_need(_folder(source), LABEL)))

    def read(self, source: Path) -> Iterator[pd.DataFrame]:
        folder = _folder(source)
        labels = _lines(_need(folder, LABEL))
        paths, words = _lines(_need(folder, PATHS)), _need(folder, TEXT)
        text = _Table(words, len(labels))
        if not len(labels) == len(paths) == len(text.rows):
            raise DataError(
                f"{folder} does not fit together: {len(labels):,} labels, {len(paths):,} pictures and "
                f"{len(text.rows):,} texts; unpack the files of one release."
            )
        pick_columns(self, [name for row in text.rows[:1] for name in row], words)
        others = {
            names: _Table(path, len(labels)) for names in (CATEGORY, TEMPORAL, USER) if (path := _first(folder, names))
        }
        root = _pictures(source).parent
        for start in range(0, len(labels), BATCH_ROWS):
            rows = range(start, min(start + BATCH_ROWS, len(labels)))
            records = []
            for row in rows:
                post = text.rows[row]
                found = {names: table.of(row, post.get("pid")) for names, table in others.items()}
                records.append(_record(post, found, labels[row], paths[row], root))
            posts = pd.DataFrame.from_records(records).astype(object)
            yield posts.assign(source=self.name)


class _Table:
    """The rows of a JSON file, names in small letters. Raises DataError where it has neither a Pid nor `count` rows."""

    def __init__(self, path: Path, count: int) -> None:
        self.rows = _rows(path)
        pids = [row.get("pid") for row in self.rows]
        self._row_of: dict[str, int] | None = None
        if self.rows and None not in pids:
            # Of two rows for one post the first counts, as it does of two posts with one id.
            self._row_of = {str(pid): row for row, pid in reversed(list(enumerate(pids)))}
        elif len(self.rows) != count:
            raise DataError(
                f"{path} has {len(self.rows):,} rows for {count:,} posts and no Pid to join them by; copy it again."
            )

    def of(self, row: int, pid: object) -> Row:
        """What the file says of a post; nothing where it has no row for it."""
        place = row if self._row_of is None else self._row_of.get(str(pid))
        return {} if place is None else self.rows[place]


def _folder(source: Path) -> Path:
    """Where the tables lie: in the source, or in one folder of it."""
    places = [source, *sorted(path for path in source.glob("*") if path.is_dir())]
    for place in places:
        if _first(place, LABEL):
            return place
    raise DataError(f"{source} holds no {LABEL[0]}; give the folder of the training part of {SMPD.description}.")


def _pictures(source: Path) -> Path:
    """The folder `train` of pictures, in the source or beside the tables."""
    beside = _folder(source) / "train"
    return beside if beside.is_dir() else source / "train"


def _first(folder: Path, names: Names) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _need(folder: Path, names: Names) -> Path:
    path = _first(folder, names)
    if path is None:
        raise DataError(f"{folder} lacks {' or '.join(names)}; copy it there.")
    return path


def _lines(path: Path) -> list[str]:
    """The lines of a text file, without the empty ones at its end and without a header over labels."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").rstrip().split("\n")]
    return lines[1:] if lines[0].lower() == "popularityscore" else lines


def _short(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if not (isinstance(value, str) and len(value) > LONGEST_FACT)}


def _rows(path: Path) -> list[Row]:
    """Rows of a JSON file, a list of them or an object from column to row to value."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            content = json.load(file, object_pairs_hook=_short if path.name in USER else None)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON; copy it again.") from error
    if isinstance(content, dict) and all(isinstance(column, dict) for column in content.values()):
        numbers = dict.fromkeys(number for column in content.values() for number in column)
        content = [{name: column.get(number) for name, column in content.items()} for number in numbers]
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DataError(f"{path} is neither a list of rows nor columns of rows; copy it again.")
    return [{name.lower(): value for name, value in row.items()} for row in content]


def _record(post: Row, found: Mapping[Names, Row], label: str, path: str, root: Path) -> dict[str, object]:
    """One row as `prepare` takes it."""
    time = found.get(TEMPORAL, {})
    pid, tags = post.get("pid"), post.get("alltags")
    picture = PurePosixPath(path.strip('"').replace("\\", "/"))
    record: dict[str, object] = {
        "post_id": pid,
        "title": post.get("title"),
        "tags": fit_tags(tags.split()) if isinstance(tags, str) else None,
        "group": post.get("uid"),
        "popularity": label,
        "image": _picture(root, picture),
        "category": found.get(CATEGORY, {}).get("category"),
        "published_at": _moment(time.get("postdate")),
        **_place(time),
        "author": _facts(found.get(USER, {}), time.get("postdate")),
        "drop_reason": None,
        "drop_detail": None,
    }
    if pid is not None and picture.stem != str(pid):
        record |= {"drop_reason": "malformed row", "drop_detail": "the picture's path names another post"}
    return record


def _picture(root: Path, path: PurePosixPath) -> str | None:
    """Absolute path of a picture inside of the folder `train`; None where there is none."""
    if path.parts[:1] != ("train",) or ".." in path.parts:
        return None
    found = root / path
    try:
        return str(found.absolute()) if found.is_file() else None
    except (OSError, ValueError):
        return None


def _number(value: object) -> float | None:
    """A finite number, or None."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _moment(seconds: object) -> object:
    """Unix seconds as text of ISO 8601; anything else as it is, for `clean` to refuse."""
    number = _number(seconds)
    try:
        return seconds if number is None else datetime.fromtimestamp(number, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return seconds


def _place(time: Row) -> dict[str, object]:
    """Latitude and longitude; neither where one is missing or they stand for no place."""
    latitude, longitude = (time.get(name) for name in ("latitude", "longitude"))
    numbers = [_number(value) for value in (latitude, longitude)]
    nowhere = _number(time.get("geoaccuracy")) == 0 or numbers == [0, 0]
    if nowhere or not all(str(value).strip() for value in (latitude, longitude)) or None in (latitude, longitude):
        return {"latitude": None, "longitude": None}
    return {"latitude": latitude, "longitude": longitude}


def _facts(user: Row, posted: object) -> list[tuple[str, float]] | None:
    """What `engine.features.author` reads of an account, as far as it is given."""
    first, at = _number(user.get("photo_firstdate")), _number(posted)
    facts = {
        "photo_count": _number(user.get("photo_count")),
        "is_pro": _number(user.get("ispro")),
        "can_buy_pro": _number(user.get("canbuypro")),
        "timezone_hours": _hours(user.get("timezone_offset")),
        "account_age_days": (at - first) / DAY if first and at and first <= at else None,
    }
    return [(name, value) for name, value in facts.items() if value is not None] or None


def _hours(offset: object) -> float | None:
    """Hours of an offset from UTC, written +05:30 or as a number of hours."""
    hours, colon, minutes = str(offset).strip().partition(":")
    whole, part = _number(hours), _number(minutes) if colon else 0.0
    if whole is None or part is None or abs(whole) > 14:
        return None
    return whole + (-part if hours.startswith("-") else part) / 60


DATASET = SMPD
