"""The benchmark of extraction measures what the program does."""

from pathlib import Path

import pytest

from benchmarks import extract
from engine.predictor import Predictor
from training.features.batches import stored_pictures


@pytest.mark.slow
def test_extraction_and_the_plain_loop_see_the_same_posts(tmp_path: Path) -> None:
    predictor = Predictor.load()
    posts = extract.work_folder(tmp_path, 3)
    assert {feature.modalities for feature in extract.features(predictor)} == {("image",), ("text",)}
    extract.extracted(tmp_path, predictor, posts)
    images = [image for _, image in stored_pictures(tmp_path)]
    extract.one_by_one(predictor, posts, [image for image in images if image is not None])
