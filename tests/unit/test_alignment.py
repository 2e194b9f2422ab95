"""Pairs, the measures of matching, and a small alignment trained, stopped, gone on with, and read again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage import data

from engine.encoders import load_encoder
from engine.encoders.aligned import CONFIG, AlignedImage, AlignedText
from engine.errors import DataError, EncoderError
from engine.features import make_features
from engine.features.base import FeatureSettings
from engine.features.picture_statistics import PictureStatistics
from engine.features.similarity import Similarity
from engine.features.text_statistics import TextStatistics
from engine.images import load_image
from engine.intervals import mean_interval
from engine.posts import Post
from tests.made_up import make_work, picture
from training.data.pairs import Pairs, plain_caption, read_covers, read_photos
from training.evaluation.matching import measure
from training.metrics.retrieval import area, matching, mismatched_rows, ranks, recalls
from training.modeling import alignment
from training.modeling.alignment import align
from training.modeling.run import Run
from training.modeling.towers import AlignmentConfig, Material, Towers, material_of
from training.recipes import chosen, recipe_names
from training.recipes.base import CatBoost, Recipe

COLOURS = ("red", "green", "blue", "white", "black", "yellow")
TINY = AlignmentConfig(width=16, hidden=32, epochs=3, photos=8, covers=8)


def photos(count: int = 40) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    images = [picture(value, generator) for value in generator.uniform(0.2, 0.8, count)]
    captions = [
        [f"A {COLOURS[row % 6]} house .", f"The {COLOURS[row % 6]} house stands there !"] for row in range(count)
    ]
    return pd.DataFrame({"photo_id": [f"f{row}" for row in range(count)], "image": images, "captions": captions})


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    photos().to_parquet(folder / "photos.parquet")
    return make_work(folder, 120)


@pytest.fixture(scope="module")
def pairs(work: Path) -> tuple[Pairs, Pairs]:
    return read_photos(work.parent / "photos.parquet"), read_covers(work)


def test_photos_are_parted_by_their_split_else_by_their_names(tmp_path: Path) -> None:
    table = photos()
    table.to_parquet(tmp_path / "a.parquet")
    table.sample(frac=1, random_state=1).to_parquet(tmp_path / "b.parquet")
    one, other = read_photos(tmp_path / "a.parquet"), read_photos(tmp_path / "b.parquet")
    assert dict(zip(one.names, one.part, strict=True)) == dict(zip(other.names, other.part, strict=True))
    assert [len(one.rows(part)) for part in ("train", "validation", "test")] == [20, 10, 10]
    table.assign(split=["train", "val"] * 20).to_parquet(tmp_path / "c.parquet")
    assert read_photos(tmp_path / "c.parquet").part.tolist() == ["train", "validation"] * 20
    assert one.fingerprint != other.fingerprint
    with pytest.raises(DataError, match=r"lacks captions: it is no table of such pairs"):
        table.drop(columns="captions").to_parquet(tmp_path / "d.parquet")
        read_photos(tmp_path / "d.parquet")
    with pytest.raises(DataError, match="has a split named restval; name each train, validation or test"):
        table.assign(split=["train", "restval"] * 20).to_parquet(tmp_path / "e.parquet")
        read_photos(tmp_path / "e.parquet")
    with pytest.raises(DataError, match="cannot be read as a Parquet table"):
        read_photos(tmp_path / "none.parquet")


@pytest.mark.parametrize("part", ["validation", "test"])
def test_further_covers_are_for_training_and_resemble_nothing_outside_of_it(
    work: Path, tmp_path: Path, part: str
) -> None:
    covers = read_covers(work)
    outside, inside = (next(iter(covers.rows(name))) for name in (part, "train"))
    generator = np.random.default_rng(9)
    further = pd.DataFrame(
        {
            "post_id": ["new", "same title", "same picture", "untitled", covers.names[inside]],
            "image": [*(picture(0.5, generator) for _ in range(2)), covers.images[outside]]
            + [picture(0.5, generator) for _ in range(2)],
            "title": ["A new one", covers.texts[outside][0].upper() + "!", "Another", None, "known"],
        }
    )
    further.to_parquet(tmp_path / "covers.parquet")
    found = read_covers(work, tmp_path / "covers.parquet")
    assert found.names[len(covers.names) :] == ["new"] and found.part[-1] == "train"
    assert found.part[:-1].tolist() == covers.part.tolist()


def test_plain_captions_are_words_alone() -> None:
    assert plain_caption("A Dog 's  ball , the dog's !") == "a dog 's ball the dog's"


def test_ranks_and_recalls_are_those_of_a_plain_count() -> None:
    generator = np.random.default_rng(0)
    pictures, sentences = generator.normal(size=(12, 4)), generator.normal(size=(24, 4))
    owner = np.repeat(np.arange(12), 2)
    found = ranks(pictures, sentences, owner)
    similarity = pictures @ sentences.T
    for row in range(12):
        order = np.argsort(-similarity[row])
        assert found["image_to_text"][row] == min(np.flatnonzero(order // 2 == row))
    for row in range(24):
        assert found["text_to_image"][row] == np.flatnonzero(np.argsort(-similarity[:, row]) == owner[row])[0]
    rows = {(row["direction"], row["metric"]): row for row in recalls(pictures, sentences, owner, 50)}
    row = rows["text_to_image", "recall@5"]
    assert (
        row["value"] == pytest.approx((found["text_to_image"] < 5).mean()) and row["low"] <= row["value"] <= row["high"]
    )
    assert rows["image_to_text", "recall@1"]["n"] == 12 and rows["text_to_image", "recall@1"]["n"] == 24


def test_a_photos_sentences_are_drawn_together() -> None:
    # Every second photo has five sentences that all find it, the others five that find the next one.
    place, owner = np.arange(40), np.repeat(np.arange(40), 5)
    sentences = np.eye(40)[np.where(place % 2, (place + 1) % 40, place)][owner]
    rows = {(row["direction"], row["metric"]): row for row in recalls(np.eye(40), sentences, owner)}
    row, expected = rows["text_to_image", "recall@1"], mean_interval(owner % 2 == 0, owner)
    assert row["value"] == 0.5 and (row["low"], row["high"]) == pytest.approx(expected)


def test_the_area_counts_pairs_in_order_and_ties_half() -> None:
    assert area(np.array([3.0, 2.0]), np.array([1.0, 2.0, 0.0])) == pytest.approx((3 + 2.5) / 6)


def test_mismatched_posts_are_of_other_groups_and_matched_pairs_win() -> None:
    groups = np.repeat(np.arange(10), 3)
    others = mismatched_rows(30, groups)
    assert (groups[others] != groups[:, None]).all()
    vectors = np.eye(30)[:, :].astype(np.float32)
    found = matching(vectors, vectors, groups, 20)
    assert found["value"] == found["low"] == found["high"] == 1.0
    noise = np.random.default_rng(0).normal(size=(2, 30, 8))
    assert 0.3 < float(matching(noise[0], noise[1], groups, 20)["value"]) < 0.7  # type: ignore[arg-type]


def test_what_is_seen_is_of_the_tower_and_vectors_have_length_one() -> None:
    image = AlignedImage(None, width=16, hidden=8, device="cpu", dtype="float32")
    pixels = image.preprocess([Image.fromarray(data.astronaut()), Image.fromarray(data.coffee())])
    with torch.inference_mode():
        vectors, tokens = image.forward({"pixels": pixels})
        seen, _ = image.seen(pixels)
        grid = image.features(pixels)
        torch.testing.assert_close(tokens.values, grid.flatten(2).transpose(1, 2))
        torch.testing.assert_close(seen[:, : image.token_dim].square(), grid.mean(dim=(2, 3)).clamp(min=0))
        # Of one colour no channel differs from cell to cell in the middle; what is read stays finite.
        plain = image.preprocess([Image.new("RGB", (64, 64))]).requires_grad_()
    with torch.enable_grad():
        image.head(image.seen(plain)[0]).sum().backward()
        assert plain.grad is not None and plain.grad.isfinite().all()
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    text = AlignedText(None, width=16, device="cpu")
    torch.testing.assert_close(text.encode(["a cat", ""]).norm(dim=1), torch.ones(2), atol=1e-4, rtol=0)
    assert image.dim == text.dim == 16 and image.aligned is None


def test_of_a_text_the_sentence_vector_and_its_likes_of_earlier_layers_are_read() -> None:
    text, titles = AlignedText(None, width=16, device="cpu"), ["a cat", "The dog sleeps on the green sofa!"]
    with torch.inference_mode():
        read, _ = text.read(text.tokenize(titles))
        alone, _ = text.read(text.tokenize(titles[:1]))
    parts = read.split(text.token_dim, dim=1)
    torch.testing.assert_close(parts[0], load_encoder("minilm", device="cpu").encode(titles), atol=1e-4, rtol=0)
    assert len(parts) == 4 and not any(torch.allclose(parts[0], part, atol=0.1) for part in parts[1:])
    torch.testing.assert_close(torch.stack(parts).norm(dim=2), torch.ones(4, 2))
    # What pads the shorter one is not read.
    torch.testing.assert_close(alone[0], read[0], atol=1e-4, rtol=0)


@pytest.mark.slow
def test_an_alignment_is_trained_gone_on_with_and_read_again(
    pairs: tuple[Pairs, Pairs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Smaller pictures cost less and are treated alike.
    monkeypatch.setattr("engine.encoders.aligned.SIZE", (64, 64))
    whole = align(*pairs, tmp_path / "a", tmp_path / "signals", TINY)
    curves = pd.read_parquet(tmp_path / "a" / "curves.parquet")
    assert set(curves["metric"]) == {"text_to_image", "image_to_text", "auc", "loss_photos", "loss_covers"}
    assert sorted(curves["epoch"].unique()) == [0, 1, 2]

    class StoppedError(Exception):
        pass

    def seen_before(towers: Towers, pairs: Pairs, file: Path) -> Material:
        """What frozen encoders make of the same pairs."""
        return material_of(towers, pairs, tmp_path / "a" / file.name)

    save = alignment._Training.save

    def stop(self: alignment._Training) -> None:
        save(self)
        if self.epoch == 2:
            raise StoppedError

    monkeypatch.setattr(alignment, "material_of", seen_before)
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(alignment._Training, "save", stop)
        align(*pairs, tmp_path / "b", tmp_path / "again", TINY)
    assert not (tmp_path / "again").exists()
    again = align(*pairs, tmp_path / "b", tmp_path / "again", TINY)
    for name in ("image.safetensors", "text.safetensors", CONFIG):
        assert (whole / name).read_bytes() == (again / name).read_bytes(), name
    before = (whole / "image.safetensors").stat().st_mtime_ns
    assert align(*pairs, tmp_path / "a", tmp_path / "signals", TINY) == whole
    assert (whole / "image.safetensors").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="an alignment"):
        align(*pairs, tmp_path / "a", tmp_path / "signals", replace(TINY, seed=1))

    image, text = load_encoder(f"aligned-image:{whole}"), load_encoder(f"aligned-text:{whole}")
    assert image.aligned == text.aligned and image.identity == load_encoder(f"aligned-image:{again}").identity
    assert image.dim == text.dim == 16
    settings = FeatureSettings(encoders={"picture": f"aligned-image:{whole}", "words": f"aligned-text:{whole}"})
    # A pair that shares a space needs no fit: the cosine of its vectors is the similarity.
    similarity = make_features(["similarity"], settings)["similarity"]
    pictures, words = image.encode([load_image(pairs[0].images[0])]), text.encode(["a red house"])
    found = similarity.compute([], {"picture": pictures.numpy(), "words": words.numpy()})
    assert found[0, 0] == pytest.approx(float((pictures * words).sum()), abs=0.01)
    groups = pd.Series(range(len(pairs[1].names)), index=pairs[1].names)
    kinds = dict(zip(("photos", "covers"), pairs, strict=True))
    figures = measure(whole, kinds, tmp_path / "a", groups)
    assert set(figures["model"]) == {"aligned", "cca", "chance"} and len(figures) == 21
    assert ((figures["low"] <= figures["value"]) & (figures["value"] <= figures["high"])).all()


def test_a_folder_without_an_alignment_is_refused(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text('{"width": "wide"}')
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(EncoderError, match="holds no alignment"):
            load_encoder(f"aligned-image:{folder}")


# --- what models may learn from it ---


def test_no_recipe_learns_from_an_encoder_that_saw_its_posts(work: Path) -> None:
    trees = CatBoost(features=("similarity",))
    recipe = Recipe(name="seen", summary="Sees.", encoders={"picture": "lite0", "words": "minilm"}, members=(trees,))
    assert Run(work, recipe).made_from
    for encoders in (
        {"picture": "aligned-image", "words": "aligned-text"},
        {"picture": "lite0", "words": "aligned-text"},
    ):
        with pytest.raises(DataError, match="has learned from posts' own pairs"):
            Run(work, replace(recipe, name="leaks", encoders=encoders))
    assert not AlignedImage(None).saw_posts and not AlignedText(None).saw_posts


@pytest.mark.parametrize("name", recipe_names())
def test_no_recipe_here_would_be_refused(name: str) -> None:
    assert not any(spec.startswith("aligned") for spec in chosen(name, "embedded").encoders.values())


def test_a_training_post_is_compared_in_a_space_that_its_pair_had_no_part_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors that have nothing to do with one another agree only where the space was fitted to them."""
    generator = np.random.default_rng(0)
    upstream = {name: generator.normal(size=(200, 24)).astype(np.float32) for name in ("picture", "words")}
    posts, groups = [Post(f"post {row}") for row in range(200)], np.arange(200) // 2
    seen: list[set[int]] = []
    fitted = Similarity.fitted

    def noted(self: Similarity, some: list[Post], above: Any, target: Any) -> Similarity:
        seen.append({int(post.title.split()[1]) // 2 for post in some})
        return fitted(self, some, above, target)

    monkeypatch.setattr(Similarity, "fitted", noted)
    feature = Similarity(None, PictureStatistics("picture"), TextStatistics("words"))
    own = feature.fit(posts, upstream, np.zeros(200)).compute(posts, upstream)
    assert own.mean() > 0.3 and len(seen) == 1
    held = feature.out_of_fold(posts, upstream, np.zeros(200), groups)
    assert abs(held.mean()) < 0.1
    # Each group is left out, whole, by just one of the fits.
    left_out = [set(range(100)) - fit for fit in seen[1:]]
    assert sorted(number for part in left_out for number in part) == list(range(100))
