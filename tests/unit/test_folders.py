"""Pictures in one folder a class: what is read of them, and joins that are broken on purpose."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.errors import DataError
from tests.class_folders import CLASSES, table_of, write
from training.data.prepare import prepare
from training.data.sources import load_dataset


@pytest.fixture
def table() -> pd.DataFrame:
    return table_of(6)


def read(source: Path) -> pd.DataFrame:
    return pd.concat(load_dataset("folders").read(source), ignore_index=True)


def test_a_row_meets_its_picture_by_name_whatever_the_order(tmp_path: Path, table: pd.DataFrame) -> None:
    shuffled = table.sample(frac=1, random_state=3)
    posts = read(write(tmp_path, shuffled, file=shuffled["file"].str.removesuffix(".png"))).set_index("post_id")
    for row in table.itertuples():
        post = posts.loc[str(row.file).removesuffix(".png")]
        assert post["category"] == row.category and post["image"].endswith(f"{row.category}/{row.file}")
        assert post["popularity"] == pytest.approx(np.log2(1 + row.likes))
        assert post["author"] == [("followers", float(row.followers))]


def test_it_is_prepared_as_any_dataset(tmp_path: Path, table: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    prepare("folders", write(tmp_path / "source", table, mood="calm"), tmp_path / "work")
    said = capsys.readouterr().out
    assert "facts of the author: followers\n" in said and "columns that are not read: mood\n" in said
    posts = pd.read_parquet(tmp_path / "work" / "posts.parquet")
    assert set(posts["category"]) <= set(CLASSES) and posts["comments"].tolist() == table["comments"].tolist()


def test_likes_that_are_missing_cost_that_post_alone(tmp_path: Path, table: pd.DataFrame) -> None:
    source = write(tmp_path / "source", table, likes=table["likes"].astype("Int64").mask(table.index == 2))
    assert prepare("folders", source, tmp_path / "work")["posts"]["dropped"] == {"score unknown": 1}


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_from_a_spreadsheet_is_read_as_one_to_score(
    delimiter: str, tmp_path: Path, table: pd.DataFrame
) -> None:
    source = write(tmp_path / "source", table, title="One, two")
    expected = read(source)
    file = source / "table.csv"
    pd.read_csv(file).to_csv(file, sep=delimiter, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    pd.testing.assert_frame_equal(read(source), expected)
    file.write_text(file.read_text(encoding="utf-8-sig"), encoding="utf-16")
    with pytest.raises(DataError, match="encoded as UTF-16; save it as UTF-8"):
        read(source)


def test_a_folder_before_the_name_is_the_one_that_the_picture_lies_in(tmp_path: Path, table: pd.DataFrame) -> None:
    paths = table["category"] + "/" + table["file"]
    named = [paths[0], f"../source/{paths[1]}", f"./{table['file'][2]}", paths[3].removesuffix(".png"), *paths[4:]]
    posts = read(write(tmp_path / "source", table, file=named))
    assert posts["post_id"].tolist() == table["file"].str.removesuffix(".png").tolist()
    other = next(name for name in CLASSES if name != table["category"][2])
    for folder in (other, "../..", f"{table['category'][2]}/.."):
        named[2] = f"{folder}/{table['file'][2]}"
        with pytest.raises(DataError, match=r"“.*p002\.png” in row 3, but that picture lies in (beach|forest); "):
            read(write(tmp_path / "source", table, file=named))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no join column": ({"file": None}, r"table\.csv lacks file or file_name"),
    "no likes": ({"likes": None}, r"table\.csv lacks likes"),
    "doubled names": ({"file": ["p000.png", "p000.png", *[f"p{n:03d}.png" for n in range(2, 6)]]}, "several rows for"),
    "a row without picture": ({"file": [*[f"p{n:03d}.png" for n in range(5)], "gone.png"]}, "no picture for the row"),
    "a count as input": ({"reposts": [1, 2, 3, 4, 5, 6]}, "reposts, which may count reactions.*--demonstrate-leak"),
    "an index without a name": ({"": range(6)}, "without a name, as pandas writes its index; write it with `index=F"),
    "an index read and written": ({"Unnamed: 0": range(6)}, "has a column without a name"),
    "a word among numbers": ({"followers": ["1", "2", "many", "4", "5", "6"]}, "“many” among the numbers of followers"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_join_is_refused_in_one_sentence(fault: str, tmp_path: Path, table: pd.DataFrame) -> None:
    columns, words = BROKEN[fault]
    source = write(tmp_path / "source", table, **columns)
    with pytest.raises(DataError, match=words) as refused:
        prepare("folders", source, tmp_path / "work")
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")
    assert not (tmp_path / "work" / "posts.parquet").exists()


def test_pictures_must_have_rows_and_names_of_their_own(tmp_path: Path, table: pd.DataFrame) -> None:
    source = write(tmp_path, table)
    first = next((source / table["category"][0]).iterdir())
    other = source / next(name for name in CLASSES if name != table["category"][0])
    shutil.copy(first, other / "extra.png")
    with pytest.raises(DataError, match="no row for the picture “extra”"):
        read(source)
    (other / "extra.png").rename(other / first.name)
    with pytest.raises(DataError, match=f"several pictures named “{first.stem}”"):
        read(source)


def test_without_classes_or_table_there_is_one_sentence(tmp_path: Path, table: pd.DataFrame) -> None:
    source = write(tmp_path, table)
    shutil.rmtree(source / CLASSES[0])
    with pytest.raises(DataError, match="one class alone, forest"):
        read(source)
    shutil.rmtree(source / CLASSES[1])
    with pytest.raises(DataError, match="no folder of pictures; put the pictures of each class into a folder"):
        read(source)
    (source / "table.csv").unlink()
    with pytest.raises(DataError, match="holds no table"):
        read(source)
