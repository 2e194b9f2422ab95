"""`python -m engine features`: what the shipped model reads off a file of posts, one row a post."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.__main__ import main
from engine.batch.features import NO_VECTORS, chosen_features, column_names, write_features
from engine.features.extractor import Extractor
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor
from engine.settings import MODELS
from tests.made_up import picture


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(device="cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "in.parquet"
    image = picture(0.5, np.random.default_rng(0))
    rows = [("whole", "Why my cat never sleeps", image), ("words", "Only 3 words!", None), ("seen", None, image)]
    rows += [("broken", "A title", b"no picture"), ("empty", None, None)]
    pd.DataFrame(rows, columns=["post_id", "title", "image"]).to_parquet(path)
    return path


def test_every_row_has_its_features_or_its_error(predictor: Predictor, source: Path, tmp_path: Path) -> None:
    summary = write_features(predictor, source, tmp_path / "out.parquet")
    assert (summary.scored, summary.failed) == (3, 2)
    table = pd.read_parquet(tmp_path / "out.parquet").set_index("post_id")
    assert table.index.tolist() == ["whole", "words", "seen", "broken", "empty"]
    assert table["error"].notna().tolist() == [False, False, False, True, True]
    assert table["text_statistics.words"].tolist()[:2] == [5.0, 3.0]
    text = [name for name in table if name.startswith("text_statistics.") or name == "ngrams"]
    seen = [name for name in table if name.startswith("picture_statistics.")]
    assert len(text) > 30 and len(seen) > 30 and set(table.columns) == {*text, *seen, "error"}
    assert table.loc["words", seen].isna().all() and table.loc["seen", text].isna().all()
    assert table.loc["whole", [*text, *seen]].notna().all()
    assert table.loc[["broken", "empty"]].drop(columns="error").isna().all(axis=None)


def test_they_are_those_that_model_and_guards_read(predictor: Predictor, source: Path, tmp_path: Path) -> None:
    write_features(predictor, source, tmp_path / "out.parquet", batch_size=2)
    table = pd.read_parquet(tmp_path / "out.parquet").set_index("post_id")
    row = pd.read_parquet(source).iloc[0]
    chosen = chosen_features(predictor)
    extractor = Extractor(predictor.extractor.features, chosen)
    values = extractor.compute([Post(row["title"], load_image(row["image"]))], "both")
    for name, feature in chosen.items():
        np.testing.assert_allclose(table.loc["whole", column_names(feature)].astype(float), values[name][0], rtol=1e-5)


def test_the_command_line_writes_csv(source: Path, tmp_path: Path) -> None:
    assert main(["features", str(source), "-o", str(tmp_path / "out.csv")]) == 0
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["post_id"].tolist() == ["whole", "words", "seen", "broken", "empty"]
    assert main(["features", str(tmp_path / "none.csv"), "-o", str(tmp_path / "out.csv")]) == 2


def test_embeddings_that_the_model_does_not_read_are_said_to_be_none(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reads_vectors = Predictor.load(MODELS / "youtube_system3" / "bundle", device="cpu")
    (tmp_path / "in.csv").write_text("title\nWhy my cat never sleeps\n")
    for model, asked, is_said in ((predictor, True, True), (predictor, False, False), (reads_vectors, True, False)):
        monkeypatch.setattr(Predictor, "load", lambda *_, model=model: model)
        arguments = ["features", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv")]
        assert main([*arguments, "--embeddings"] if asked else arguments) == 0
        assert (NO_VECTORS in capsys.readouterr().err) == is_said
