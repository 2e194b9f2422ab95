"""The study of picture and words: its parts on numbers made for them, and the whole on a small run."""

import shutil
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from engine.bundle import read_bundle
from engine.encoders import aligned
from engine.features.adapted import Adapted
from engine.features.base import FeatureSettings
from engine.features.encoder_vector import EncoderVector
from tests.made_up import make_work, without_baselines
from tests.unit.test_evaluate import JUNK, RECIPE
from training.data.quality import reasons
from training.evaluation import consistency
from training.evaluation.adapter import likeness, probes
from training.evaluation.consistency import COLUMNS, controls_of, intervals_of, trend
from training.evaluation.report import evaluate
from training.evaluation.shipped import facts_of
from training.evaluation.verdicts import verdicts
from training.features.matrix import FeatureMatrix
from training.modeling.run import Run
from training.modeling.train import train


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained and evaluated on made-up posts."""
    work = make_work(tmp_path_factory.mktemp("study"), 280)
    train(work, RECIPE)
    with without_baselines():
        evaluate(work, RECIPE, resamples=20, junk=JUNK)
    return Run(work, RECIPE)


def test_cleaning_gives_the_first_reason_that_holds() -> None:
    plain = "A good plain title", "ein deutscher Titel", "Two words", "### !!! $$$ ?? 123", "x " * 10, "so it is"
    titles = pd.Series([*plain, "y " * 10])
    metadata = pd.DataFrame(
        {
            "language": ["en", "de", "und", "und", "en", "en", "en"],
            "title_words": [4, 3, 2, 5, 10, 3, 10],
            "image_width": [320, 320, 320, 320, 320, 40, 320],
            "image_height": [180] * 7,
        }
    )
    oddness = np.array([3.0, 3.0, 3.0, np.nan, 9.0, 3.0, 30.0])
    # How odd the posts outside of training are does not decide what is odd.
    train = np.array([True, True, True, True, False, True, False])
    assert reasons(titles, metadata, oddness, train).tolist() == [
        *("", "another language", "fewer than 3 words", "mostly symbols", "odd wording", "tiny picture", "odd wording")
    ]


def test_intervals_are_doublings_with_full_ends() -> None:
    popularity = np.concatenate([np.full(3, 1.0), np.full(120, 5.0), np.full(150, 6.5), np.full(110, 9.0), [30.0]])
    found = intervals_of(popularity)
    assert found.min() == 0 and found.max() == 2
    assert [int((found == number).sum()) for number in range(3)] == [123, 150, 111]
    assert intervals_of(np.array([3.0, 9.0])).tolist() == [0, 0]


def test_a_trend_that_length_makes_is_gone_once_it_is_controlled_for() -> None:
    generator = np.random.default_rng(0)
    length = generator.uniform(1, 100, 600)
    signal, score = length + generator.normal(0, 5, 600), length + generator.normal(0, 5, 600)
    controls = np.stack([np.ones(600), length, length**2], axis=1)
    groups = np.arange(600)
    raw, strict = trend(signal, score, groups, None), trend(signal, score, groups, controls)
    assert raw[0] == pytest.approx(spearmanr(signal, score)[0]) and raw[1] > 0.9
    assert strict[1] < 0 < strict[2] and abs(strict[0]) < 0.15


def test_controls_hold_length_language_and_category() -> None:
    posts = pd.DataFrame({"category": ["Music", None, "Music", "Sports"]})
    metadata = pd.DataFrame(
        {"language": ["en", "en", "de", "und"], "title_characters": [1, 2, 3, 4], "title_words": [1, 1, 2, 2]}
    )
    assert controls_of(posts, metadata).shape == (4, 1 + 4 + 3 + 3)


def table_of(values: dict[tuple[str, str], tuple[float, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"signal": "similarity", "against": "score", "cleaning": cleaning, "control": control}
            | {"value": value[0], "low": value[1], "high": value[2], "n": 1000}
            for (cleaning, control), value in values.items()
        ]
    )


@pytest.mark.parametrize(
    ("raw", "strict", "verdict", "survives", "words"),
    [
        ((-0.2, -0.3, -0.1), (-0.1, -0.2, -0.05), "grows", True, "grows with engagement"),
        ((-0.2, -0.3, -0.1), (0.0, -0.1, 0.1), "grows", False, "is not shown to survive"),
        ((0.2, 0.1, 0.3), (-0.1, -0.2, -0.05), "falls", False, "falls with engagement"),
        ((0.01, -0.1, 0.1), (0.2, 0.1, 0.3), "none", False, "has no clear trend"),
        ((0.01, -0.1, 0.1), (0.02, -0.1, 0.1), "none", False, "has no clear trend"),
    ],
)
def test_a_verdict_follows_from_the_figures(raw, strict, verdict: str, survives: bool, words: str) -> None:  # type: ignore[no-untyped-def]
    keys = product(("uncleaned", "cleaned"), ("raw", "controlled"))
    values = dict.fromkeys(keys, raw) | {("cleaned", "controlled"): strict}
    found = verdicts(table_of(values))  # type: ignore[arg-type]
    row = found.iloc[0]
    assert (row["verdict"], bool(row["survives"])) == (verdict, survives) and words in row["sentence"]
    assert f"{-raw[0]:+.3f} ({-raw[2]:+.3f} to {-raw[1]:+.3f}, n = 1,000)" in row["sentence"]


def test_of_too_few_posts_there_is_no_verdict_and_of_a_published_popularity_no_rate() -> None:
    trends = table_of({("uncleaned", "raw"): (0.2, 0.1, 0.3)})
    assert list(verdicts(trends[:0])) == list(verdicts(trends)) and verdicts(trends[:0]).empty
    [row] = verdicts(trends.assign(against="popularity"), published=True).to_dict("records")
    assert "popularity (as it was published)" in row["sentence"] and "reactions" not in row["sentence"]


def test_probes_find_what_is_there_and_likeness_knows_a_rotation() -> None:
    generator = np.random.default_rng(0)
    target, noise = generator.normal(size=200), generator.normal(size=(200, 4))
    turn = np.linalg.qr(generator.normal(size=(4, 4)))[0]
    before = {("before", "image"): noise, ("before", "text"): noise}
    sides = before | {("after", "image"): noise @ turn, ("after", "text"): noise + target[:, None]}
    groups = np.arange(200)
    rows = {(row["stage"], row["side"]): row for row in probes(sides, target, groups)}
    assert rows["after", "text"]["value"] > 0.5 > 0.1 > rows["before", "text"]["value"]
    assert rows["difference", "text"]["low"] > 0 > rows["difference", "image"]["low"]
    alike = {row["side"]: row["value"] for row in likeness(sides, groups)}
    assert alike["image"] == pytest.approx(1.0) and alike["text"] < 0.9


@pytest.mark.slow
def test_the_study_of_a_small_run_ends_in_its_report_and_bundle(
    small_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FeatureSettings(encoders={"picture": "lite0:64x64", "words": "minilm:16"})
    monkeypatch.setattr(consistency, "SETTINGS", settings)
    monkeypatch.setattr(consistency, "LEAST_POSTS", 20)
    monkeypatch.setattr(consistency, "signals_of", made_up_signals)
    monkeypatch.setattr(FeatureMatrix, "extract", lambda self, names: [])
    monkeypatch.setattr("training.evaluation.adapter.RATIOS", (0.0, 0.5))
    for place in ("consistency.RESAMPLES", "adapter.RESAMPLES", "adapter.FEW_RESAMPLES"):
        monkeypatch.setattr(f"training.evaluation.{place}", 20)
    said = consistency.consistency(small_run)
    report = {path.stem: pd.read_parquet(path) for path in small_run.report.glob("*.parquet")}
    posts = small_run.workspace.posts
    assert report["signals"]["post_id"].tolist() == posts["post_id"].tolist() and len(said) == 6
    assert report["signals"]["level"].tolist() == posts["level"].tolist()
    means = report["consistency"]
    assert set(means["signal"]) == set(COLUMNS) and (means["low"] <= means["high"]).all()
    level = means.query("signal == 'similarity' and by == 'level' and cleaning == 'uncleaned' and control == 'raw'")
    own = report["signals"].groupby(posts["level"].to_numpy())["similarity"].mean()
    np.testing.assert_allclose(level["value"], own.to_numpy())
    removal = report["removal"].query("reason == 'any' and by == 'level'")
    np.testing.assert_allclose(
        removal["value"], (report["signals"]["removed"] != "").groupby(posts["level"].to_numpy()).mean()
    )
    assert set(report["adapter"]["stage"]) == {"before", "after", "difference", "search"}
    outside = int((posts["split"] != "train").sum())
    assert report["embedding"].groupby(["stage", "dimensions"]).size().tolist() == [outside] * 4
    known = posts.set_index("post_id").loc[report["embedding"]["post_id"]]
    assert all(report["embedding"][name].tolist() == known[name].tolist() for name in ("split", "level"))
    typical = read_bundle(small_run.bundle).typical
    median = float(report["signals"]["similarity"][(posts["level"] == 4).to_numpy()].median())
    assert typical["similarity"][4][2] == pytest.approx(median)
    assert [entry["step"] for entry in small_run.test_reads()][-1] == "consistency"
    assert facts_of(small_run.report)["test_reads"] == small_run.test_reads()
    # What was trained in that folder and is not what the page reads is none of its tools.
    (small_run.work / "alignment").mkdir()
    pd.DataFrame({"auc": [0.5]}).to_parquet(small_run.work / "alignment" / "matching.parquet")
    trained = small_run.work / "signals" / "alignment"
    for files, tools in ((b"another", False), (None, True)):
        shutil.rmtree(trained, ignore_errors=True)
        shutil.copytree(aligned.SHIPPED, trained)
        if files:
            (trained / aligned.IMAGE).write_bytes(files)
        consistency.consistency(small_run)
        assert (small_run.report / "matching.parquet").exists() == tools


def made_up_signals(matrix: FeatureMatrix) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame({name: generator.uniform(1, 2, len(matrix.posts)) for name in COLUMNS})


def test_adapters_with_no_share_leave_vectors_as_they_are() -> None:
    image, text = EncoderVector("picture", "lite0:64x64"), EncoderVector("words", "minilm:16")
    generator = np.random.default_rng(0)
    above = {"picture": generator.normal(size=(30, 1280)), "words": generator.normal(size=(30, 384))}
    target = above["words"][:, 0]
    values = {ratio: Adapted("adapted", image, text, ratio).fitted([], above, target) for ratio in (0.0, 1.0)}
    unchanged = values[0.0].compute([], above)
    np.testing.assert_allclose(np.linalg.norm(unchanged[:, :1280], axis=1), 1280**0.5, rtol=1e-4)
    assert (
        values[0.0].weights
        != values[1.0].weights
        == Adapted("adapted", image, text, 1.0).fitted([], above, target).weights
    )
