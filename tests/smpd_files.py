"""Small files in the published forms of SMPD, whose users, hours and brightness decide."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests import made_up

MIDNIGHT = 1_456_790_400  # 2016-03-01 00:00 UTC, a Tuesday
FIRST = MIDNIGHT - 1000 * 86_400
CATEGORIES = ("Fashion", "Travel&Active&Sports", "Food")
Files = dict[str, Any]


def raw(users: int = 10, each: int = 4, seed: int = 0) -> Files:
    """The tables of a release by their names; the hour and the account decide most of a post's popularity."""
    generator = np.random.default_rng(seed)
    files: Files = {name: [] for name in ("label", "path", "text", "category", "temporal", "user", "brightness")}
    for user in range(users):
        uid, photos, first = f"{user}@N{user % 9}", int(10 * 2 ** generator.uniform(0, 8)), FIRST + user * 86_400
        for number in range(each):
            pid = 1000 * (user + 1) + number
            hour, brightness = int(generator.integers(0, 24)), generator.uniform(0.2, 0.8)
            label = 3 + np.log2(photos) / 2 + np.cos(2 * np.pi * hour / 24) + brightness + generator.normal(0, 0.1)
            key = {"Uid": uid, "Pid": str(pid)}
            title, tags = made_up.own_word(pid), f"{made_up.own_word(user)} one {made_up.own_word(user)}"
            files["label"].append(f"{label:.2f}")
            files["path"].append(f"train/{uid}/{pid}.jpg")
            files["text"].append({**key, "Title": title, "Mediatype": "photo", "Alltags": tags})
            category = {"Category": CATEGORIES[user % 3], "Subcategory": "a", "Concept": "b"}
            files["category"].append({**key, **category})
            place = ("52.520213", "13.373097", "16") if number else ("0", "0", "0")
            where = dict(zip(("Latitude", "Longitude", "Geoaccuracy"), place, strict=True))
            files["temporal"].append({**key, "Postdate": str(MIDNIGHT + hour * 3600), **where})
            facts = {"photo_firstdate": str(first), "photo_count": photos, "ispro": 1.0, "canbuypro": 0.0}
            facts |= {"timezone_offset": "+05:30", "photo_firstdatetaken": "1904-01-01 00:00:00", "timezone_id": 9}
            files["user"].append({"Uid": uid, "Pid": pid, **facts, "user_description": "0.0866962," * 30})
            files["brightness"].append(brightness)
    return files


def by_column(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A table as the users' one is published: column → row → value."""
    return {name: {str(number): row[name] for number, row in enumerate(rows)} for name in rows[0]}


def write(folder: Path, files: Files, *, old: bool = False) -> Path:
    """A source of those files, in the names and places of an older release or of the later ones."""
    tables = folder / "train_all_json" if old else folder
    tables.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for path, brightness in zip(files["path"], files["brightness"], strict=False):
        picture = folder / path
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(made_up.picture(brightness, generator))
    (tables / "train_label.txt").write_text("\n".join(files["label"]) + "\n")
    (tables / ("train_img.txt" if old else "train_img_filepath.txt")).write_text("\n".join(files["path"]) + "\n")
    names = {
        "text": "train_tags.json" if old else "train_text.json",
        "category": "train_category.json",
        "temporal": "train_temporalspatial.json" if old else "train_temporalspatial_information.json",
        "user": "train_userdata.json" if old else "train_user_data.json",
    }
    for name in names.keys() & files.keys():
        content = by_column(files[name]) if name == "user" and not old else files[name]
        (tables / names[name]).write_text(json.dumps(content))
    return folder
