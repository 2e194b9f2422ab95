"""The feature store and the extract step: order, resumption, damage, work done once."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from engine.encoders.base import Modality
from engine.errors import DataError
from engine.features.base import Feature, Values
from engine.features.encoder_tokens import EncoderTokens
from engine.features.encoder_vector import EncoderVector
from engine.posts import Post
from tests.pictures import png
from training.features.extract import Extraction, extract, file_hashes, post_hashes
from training.features.matrix import post_of
from training.features.pictures import decoded_pictures
from training.features.store import FeatureTable


class Numbers(Feature):
    """Three columns made of the number in a post's title, or of its picture's red; what was computed is counted."""

    kind: ClassVar[str] = "numbers"
    columns: tuple[str, ...] = ("number", "and a quarter", "negative")

    def __init__(self, side: Modality = "text", diary: Path | None = None, pause: float = 0.0) -> None:
        super().__init__()
        self.modalities, self.diary, self.pause = (side,), diary, pause
        self.seen: Counter = Counter()

    def numbers(self, posts: Sequence[Post]) -> list[float]:
        if self.modalities == ("text",):
            return [float(post.title.split()[-1]) for post in posts]
        return [float(post.image.getpixel((0, 0))[0]) for post in posts]  # type: ignore[union-attr, index]

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        numbers = self.numbers(posts)
        self.seen.update(numbers)
        time.sleep(self.pause)
        if self.diary:
            with self.diary.open("a") as file:
                file.writelines(f"{number:.0f}\n" for number in numbers)
        return np.array([[number, number + 0.25, -number] for number in numbers], dtype=np.float32)


class Places(Numbers):
    """As many tokens of two channels as the number says, modulo 5, and one more; eight at most."""

    kind: ClassVar[str] = "places"
    columns: tuple[str, ...] = ("a", "b")
    shape = (8, 2)
    stored_as: ClassVar[type[np.floating]] = np.float16

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        values = np.full((len(posts), 8, 2), np.nan, dtype=np.float32)
        for row, number in enumerate(self.numbers(posts)):
            values[row, : int(number) % 5 + 1] = number
        return values


def picture(value: int, width: int = 16, height: int = 12) -> bytes:
    return png(width, height, (value, 0, 0))


def write_posts(work: Path, images: Sequence[bytes | str | None], titles: Sequence[str | None] | None = None) -> None:
    titles = titles or [f"title {number}" for number in range(len(images))]
    columns = {"post_id": [f"p{row}" for row in range(len(images))], "title": titles, "image": images}
    frame = pd.DataFrame(columns).assign(description=None, tags=None)
    frame.to_parquet(work / "posts.parquet")


def posts_of(work: Path) -> list[Post]:
    return [post_of(row) for _, row in pd.read_parquet(work / "posts.parquet").iterrows()]


def run(work: Path, feature: Feature, upstream: Mapping[str, Values] | None = None) -> Extraction:
    return extract(work, feature, posts_of(work), file_hashes(work), upstream or {})


def stored(work: Path, feature: Feature, rows: Sequence[int] | None = None) -> Values:
    hashes = post_hashes(feature, posts_of(work), file_hashes(work))
    return table_of(work, feature).get(hashes if rows is None else [hashes[row] for row in rows])


def table_of(work: Path, feature: Feature) -> FeatureTable:
    return FeatureTable(work / "features", feature)


def test_values_come_in_the_order_asked(tmp_path: Path) -> None:
    table = table_of(tmp_path, Numbers())
    with table.writing():
        table.append(["a", "b"], np.array([[1.0, 2, 3], [4, 5, 6]]))
        table.append(["c"], np.array([[7.0, 8, 9]]))
        table.append([], np.zeros((0, 3)))
    again = table_of(tmp_path, Numbers())
    assert len(again) == 3 and again.missing(["c", "x", "a", "x"]) == ["x"]
    expected = np.array([[7, 8, 9], [1, 2, 3], [7, 8, 9], [4, 5, 6]], dtype=np.float32)
    np.testing.assert_array_equal(again.get(["c", "a", "c", "b"]), expected)
    assert again.get([]).shape == (0, 3)
    with pytest.raises(DataError, match=r"numbers is missing for 1 .* `python -m training extract`"):
        again.get(["a", "x"])


def test_tokens_are_stored_without_their_unused_places(tmp_path: Path) -> None:
    write_posts(tmp_path, [None] * 7)
    run(tmp_path, Places())
    values = stored(tmp_path, Places(), [6, 0, 3])
    assert values.dtype == np.float16 and values.shape == (3, 4, 2)
    for row, number in enumerate([6, 0, 3]):
        length = number % 5 + 1
        assert (values[row, :length] == number).all() and np.isnan(values[row, length:]).all()
    assert stored(tmp_path, Places(), [0, 5]).shape == (2, 1, 2)


def test_batches_of_tokens_may_differ_in_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(Places):
        """Tokens of a batch padded to its own longest text."""

        def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
            return super().compute(posts, upstream)[:, : max(int(number) % 5 + 1 for number in self.numbers(posts))]

    monkeypatch.setattr("training.features.extract.BATCH", 2)
    write_posts(tmp_path, [None] * 7)
    run(tmp_path, Short())
    np.testing.assert_array_equal(stored(tmp_path, Short()), Places().compute(posts_of(tmp_path), {})[:, :5])


def test_each_distinct_picture_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "two.png").write_bytes(picture(2))
    write_posts(tmp_path, [picture(1), picture(2), picture(1), picture(3)])
    feature = Numbers("image")
    first = run(tmp_path, feature)
    assert (first.wanted, first.computed) == (3, 3) and set(feature.seen.values()) == {1}
    assert "numbers: 3 computed" in str(first)
    # A picture kept as a file is the same picture.
    write_posts(tmp_path, ["images/two.png", "images/none.png"])
    second = run(tmp_path, feature)
    assert (second.wanted, second.computed) == (2, 0) and "0 computed, 1 kept" in str(second)
    assert second.unreadable == (("p1", "The picture's file is missing."),)
    assert stored(tmp_path, feature, [0])[0, 0] == 2


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    write_posts(tmp_path, [picture(1), b"no picture", picture(2), None])
    found = run(tmp_path, Numbers("image"))
    assert found.computed == 2 and [post_id for post_id, _ in found.unreadable] == ["p1", "p3"]
    assert "left out p1: This file is no picture" in str(found)


def test_each_distinct_text_is_read_once(tmp_path: Path) -> None:
    write_posts(tmp_path, [None] * 4, ["a 1", "b 1", "a 1", "b 2"])
    feature = Numbers()
    assert run(tmp_path, feature).computed == 3 and sum(feature.seen.values()) == 3
    np.testing.assert_array_equal(stored(tmp_path, feature)[:, 0], [1, 1, 1, 2])


def test_a_feature_of_both_sides_is_kept_by_picture_and_words(tmp_path: Path) -> None:
    class Pair(Numbers):
        kind: ClassVar[str] = "pair"

        def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
            assert all(post.image is not None for post in posts)
            return upstream["numbers"] + self.numbers(posts)[0]

    pair, above = Pair("image"), Numbers()
    pair.modalities, pair.upstream = ("image", "text"), (above,)
    write_posts(tmp_path, [picture(10), picture(10), picture(10)], ["a 1", "a 2", "a 1"])
    run(tmp_path, above)
    numbers = above.compute(posts_of(tmp_path), {})
    assert run(tmp_path, pair, {"numbers": numbers}).computed == 2
    np.testing.assert_array_equal(stored(tmp_path, pair), numbers + 10)


def test_a_torn_file_is_passed_over_and_a_damaged_part_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.features.extract.BATCH", 2)
    monkeypatch.setattr("training.features.extract.FLUSH_ROWS", 2)
    write_posts(tmp_path, [None] * 6)
    folder = run(tmp_path, Numbers()).folder
    parts = sorted(folder.glob("part-*.parquet"))
    assert len(parts) == 3
    (folder / ".part-00009.parquet-x.tmp").write_bytes(b"PAR1 torn")
    # One part loses its end, one a bit of a value.
    parts[0].write_bytes(parts[0].read_bytes()[:-40])
    content = bytearray(parts[1].read_bytes())
    content[content.find(np.float32(2.25).tobytes())] ^= 1
    parts[1].write_bytes(content)

    hashes = post_hashes(Numbers(), posts_of(tmp_path), file_hashes(tmp_path))
    reader = table_of(tmp_path, Numbers())
    assert reader.missing(hashes) == hashes[:2]
    with pytest.raises(DataError, match="damaged"):
        reader.get(hashes[2:4])

    feature = Numbers()
    assert run(tmp_path, feature).computed == 4
    assert feature.seen == Counter([0.0, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(stored(tmp_path, feature)[:, 0], np.arange(6))


def test_an_infinite_number_is_refused_and_a_missing_one_is_not(tmp_path: Path) -> None:
    table, tokens = table_of(tmp_path, Numbers()), table_of(tmp_path, Places())
    with table.writing():
        with pytest.raises(DataError, match=r"not finite for the content b"):
            table.append(["a", "b"], np.array([[1, 2, 3], [1, np.inf, 3]]))
        assert not list(table.folder.glob("part-*"))
        table.append(["c"], np.array([[1, np.nan, 3]]))
    assert np.isnan(table.get(["c"])).tolist() == [[False, True, False]]
    # Beyond half precision, in which tokens are kept.
    with tokens.writing(), pytest.raises(DataError, match="not finite"):
        tokens.append(["a"], np.full((1, 8, 2), 1e5, dtype=np.float32))


@pytest.mark.parametrize("kind", [EncoderVector, EncoderTokens])
def test_an_encoder_that_fails_to_compute_is_refused(tmp_path: Path, kind: type[EncoderVector]) -> None:
    feature = kind("words.tokens" if kind is EncoderTokens else "words", "minilm:16", device="cpu")
    table = table_of(tmp_path, feature)
    values = feature.compute([Post("one two three four")], {})
    broken = values.copy()
    # One token whole, or one number of a vector.
    broken[0, 1] = np.nan
    with table.writing():
        table.append(["a"], values)
        for number, wrong in enumerate((broken, np.full_like(values, np.nan))):
            with pytest.raises(DataError, match="not finite"):
                table.append([f"wrong {number}"], wrong)
    assert len(table_of(tmp_path, feature)) == 1


def test_what_is_computed_survives_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Numbers):
        def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
            if sum(self.seen.values()) >= 6:
                raise KeyboardInterrupt
            return super().compute(posts, upstream)

    monkeypatch.setattr("training.features.extract.BATCH", 2)
    write_posts(tmp_path, [None] * 10)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Failing())
    # The same kind in the same file is the same feature.
    feature = Numbers()
    assert run(tmp_path, feature).computed == 4
    assert len(table_of(tmp_path, feature)) == 10


def test_what_weights_that_do_not_load_leave_empty_is_not_kept(tmp_path: Path) -> None:
    class Broken(Numbers):
        weights, unavailable = "of files that are there", ""

        def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
            self.unavailable = "Its packages do not load; reinstall them."
            return np.full((len(posts), 3), np.nan, dtype=np.float32)

    write_posts(tmp_path, [None] * 3)
    # On a cluster a worker meets one batch after the other.
    feature = Broken()
    for _ in range(2):
        with pytest.raises(DataError, match=r"do not load; reinstall them\.$"):
            run(tmp_path, feature)
    assert len(table_of(tmp_path, feature)) == 0
    # Where there are no weights at all, the key says so.
    feature.weights = ""
    assert run(tmp_path, feature).computed == 3


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    one, other = table_of(tmp_path, Numbers()), table_of(tmp_path, Numbers())
    with one.writing(), pytest.raises(DataError, match="Another process"), other.writing():
        pass
    with other.writing():
        pass


@pytest.mark.parametrize("content", ['{"width": 4}', "{", "[]"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    table = table_of(tmp_path, Numbers())
    (table.folder / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=r"not of the feature numbers; delete it"):
        table_of(tmp_path, Numbers())


def test_an_unprepared_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"posts.parquet is missing; run `python -m training prepare"):
        file_hashes(tmp_path)
    (tmp_path / "posts.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match="cannot be read"):
        file_hashes(tmp_path)


KILLED_RUN = """
import sys
from pathlib import Path
from tests.unit.test_store import Numbers, run
from training.features import extract

extract.BATCH, extract.FLUSH_ROWS = 4, 12
work = Path(sys.argv[1])
run(work, Numbers("image", work / "diary", pause=0.02))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_without_loss_or_double_work(tmp_path: Path) -> None:
    count = 200
    write_posts(tmp_path, [picture(value) for value in range(count)])
    diary = tmp_path / "diary"
    hashes = file_hashes(tmp_path)
    persisted: set[int] = set()
    lost = 0
    for _ in range(2):
        already = len(diary.read_text().split()) if diary.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED_RUN, str(tmp_path)],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": "."},
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and (not diary.exists() or len(diary.read_text().split()) < already + 30):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        computed = [int(number) for number in diary.read_text().split()][already:]
        assert computed and not persisted & set(computed), "what was written is not computed again"
        table = table_of(tmp_path, Numbers("image"))
        persisted = {value for value in range(count) if not table.missing([hashes[value]])}
        lost += len(set(computed) - persisted)
    assert 30 <= len(persisted) < count and lost <= 2 * 16
    feature = Numbers("image")
    assert run(tmp_path, feature).computed == count - len(persisted)
    np.testing.assert_array_equal(stored(tmp_path, feature)[:, 0], np.arange(count))


def test_pictures_are_decoded_once_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_posts(tmp_path, [*(picture(value) for value in (10, 20, 30)), picture(90, 60, 40)])
    files = file_hashes(tmp_path)
    pixels = decoded_pictures(tmp_path, files, (4, 6))
    assert isinstance(pixels, np.memmap) and not pixels.flags.writeable
    assert (
        pixels.shape == (4, 4, 6, 3) and (pixels == np.array([10, 20, 30, 90])[:, None, None, None] * [1, 0, 0]).all()
    )
    assert len(list((tmp_path / "features").iterdir())) == 1
    # Another size is another file.
    assert decoded_pictures(tmp_path, files, (2, 3)).shape == (4, 2, 3, 3)
    other = tmp_path / "other"
    (other / "images").mkdir(parents=True)
    (other / "images" / "a.png").write_bytes(picture(40))
    write_posts(other, ["images/a.png"])
    assert decoded_pictures(other, file_hashes(other), (4, 6))[0, 0, 0, 0] == 40
    monkeypatch.setattr("training.features.pictures.load_image", None)
    assert np.array_equal(decoded_pictures(tmp_path, files, (4, 6)), pixels)


def test_a_picture_that_cannot_be_read_leaves_no_half_map(tmp_path: Path) -> None:
    write_posts(tmp_path, [picture(10), b"no picture", picture(30)])
    with pytest.raises(DataError, match="The picture of p1 cannot be read any more"):
        decoded_pictures(tmp_path, file_hashes(tmp_path), (4, 6))
    assert not list((tmp_path / "features").iterdir())


def test_pictures_that_are_others_since_are_not_kept_as_the_former(tmp_path: Path) -> None:
    write_posts(tmp_path, [picture(value) for value in (10, 20, 30)])
    files, before = file_hashes(tmp_path), posts_of(tmp_path)
    for values in ((10, 30, 20), (10, 20, 30, 40), (10, 20)):
        write_posts(tmp_path, [picture(value) for value in values])
        for read in (
            lambda: extract(tmp_path, Numbers("image"), before, files, {}),
            lambda: decoded_pictures(tmp_path, files, (4, 6)),
        ):
            with pytest.raises(DataError, match="are others since this step began; run it again"):
                read()
    write_posts(tmp_path, [picture(value) for value in (10, 20, 30)])
    run(tmp_path, Numbers("image"))
    np.testing.assert_array_equal(stored(tmp_path, Numbers("image"))[:, 0], [10, 20, 30])


def test_pictures_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.features import pictures

    given, done = 0, 0
    ahead = []
    stored_pictures, load_image = pictures.stored_pictures, pictures.load_image

    def watched(work: Path, **options: Any):  # type: ignore[no-untyped-def]
        nonlocal given
        for item in stored_pictures(work, **options):
            given += 1
            ahead.append(given - done)
            yield item

    def counted(data: bytes) -> Image.Image:
        nonlocal done
        done += 1
        return load_image(data)

    monkeypatch.setattr(pictures, "stored_pictures", watched)
    monkeypatch.setattr(pictures, "load_image", counted)
    write_posts(tmp_path, [picture(value) for value in range(200)])
    decoded_pictures(tmp_path, file_hashes(tmp_path), (4, 6))
    assert given == 200 and max(ahead) < 50
