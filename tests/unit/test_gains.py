"""What a model gains over less: one table, from which every sentence and figure is taken."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.unit.test_metrics import tables
from training.evaluation.baselines import NGRAM_RIDGE
from training.evaluation.gains import METRICS, differences_of, earned_notes, gains_of, notes_of
from training.metrics.bootstrap import calibration_by_chance, evaluate_metrics, with_intervals

WORKSPACE = SimpleNamespace(dataset={"absent_counts": ["shares"]})


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return tables()[1]


@pytest.fixture(scope="module")
def predictions(truth: pd.DataFrame) -> pd.DataFrame:
    best = tables()[0].assign(model="blend")
    generator = np.random.default_rng(0)

    def worse(model: str, view: str, noise: float) -> pd.DataFrame:
        noisy = best["score"] * np.exp(generator.normal(0, noise, len(best)))
        return best.assign(model=model, view=view, score=noisy)

    parts = [best, worse("blend", "text", 0.6), worse("blend", "image", 1.5), worse(NGRAM_RIDGE, "text", 0.9)]
    return pd.concat([*parts, best.assign(split="validation", score=1.0)])


def test_differences_are_those_of_the_metrics(predictions: pd.DataFrame, truth: pd.DataFrame) -> None:
    table = differences_of(predictions, "blend", truth, 50)
    assert list(table.columns) == "model view reference reference_view metric delta low high n".split()
    assert (table["n"] == 300).all() and set(table["metric"]) == set(METRICS)
    pairs = table[["view", "reference", "reference_view"]].drop_duplicates().to_numpy().tolist()
    ridge = NGRAM_RIDGE
    assert pairs == [
        ["both", "blend", "text"],
        ["both", "blend", "image"],
        ["both", ridge, "text"],
        ["text", ridge, "text"],
    ]
    values = {
        view: evaluate_metrics(part, truth)["src"]
        for view, part in predictions.query("model == 'blend' and split == 'test'").groupby("view")
    }
    row = table.query("metric == 'src' and reference_view == 'image'").iloc[0]
    assert row["delta"] == pytest.approx(values["both"] - values["image"])
    assert 0 < row["low"] <= row["delta"] <= row["high"]


def test_gains_and_notes_follow_from_the_table(predictions: pd.DataFrame, truth: pd.DataFrame) -> None:
    table = differences_of(predictions, "blend", truth, 50)
    gains = gains_of(table)
    assert set(gains) == {"picture", "ngrams"} and set(gains["picture"]) == set(METRICS)
    own = predictions.query("model == 'blend' and view == 'both' and split == 'test'")
    metrics = pd.concat([with_intervals(own, truth, resamples=50), calibration_by_chance(own, truth, 9)])
    metrics = metrics.assign(split="test", view="both")
    notes = notes_of(WORKSPACE, table, metrics)  # type: ignore[arg-type]
    assert "lacks shares" in notes[0]
    said = metrics.set_index("metric")["value"]
    found = next(note for note in notes if "calibration error" in note)
    assert f"{said['classwise_ece']:.3f};" in found and f"{said['classwise_ece_by_chance']:.3f} on" in found
    found = next(note for note in notes if "title alone" in note)
    assert f"{gains['picture']['src']['delta']:+.3f}" in found and "the picture helps" in found
    assert not any("read" in note.split() for note in notes)
    again = notes_of(WORKSPACE, table, metrics, [{"step": "evaluate"}] * 2)  # type: ignore[arg-type]
    assert again == [*notes, "The figures of the test posts have been read at least 2 times by steps of the pipeline."]
    edge = table.assign(low=0.01 * table["delta"])
    assert any("all but holds 0" in note for note in notes_of(WORKSPACE, edge, metrics))  # type: ignore[arg-type]
    lost = table.assign(low=-1.0)
    assert any("not shown to be better" in note for note in notes_of(WORKSPACE, lost, metrics))  # type: ignore[arg-type]
    # A model that reads no words is not said to.
    sides = pd.concat([metrics, metrics.assign(view="text")])
    for told, start in ((sides, "Picture and title together"), (metrics, "What it sees, without any words,")):
        assert f"{start} against a ridge" in " ".join(notes_of(WORKSPACE, table, told))  # type: ignore[arg-type]
    # A model that makes little of the title alone owes its gain over that to the title.
    weak = table.assign(high=table["high"].where(table["view"] != "text", -0.01))
    found = next(note for note in notes_of(WORKSPACE, weak, metrics) if "title alone" in note)  # type: ignore[arg-type]
    assert "says little of the picture" in found and "the picture helps" not in found


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.85, 0.95, "as promised"), (0.7, 0.89, "less often than promised"), (0.91, 0.99, "more often than promised")],
)
def test_a_promise_is_held_or_not_by_its_interval(
    predictions: pd.DataFrame, truth: pd.DataFrame, low: float, high: float, verdict: str
) -> None:
    table = differences_of(predictions, "blend", truth, 2)
    names = ["conformal_coverage", "interval_coverage", "classwise_ece", "classwise_ece_by_chance"]
    values = {"value": [0.9, 0.8, 0.03, 0.02], "low": [low, 0.7, 0.02, 0.01], "high": [high, 0.9, 0.04, 0.03]}
    metrics = pd.DataFrame({"metric": names, **values})
    notes = notes_of(WORKSPACE, table, metrics.assign(split="test", view="both"))  # type: ignore[arg-type]
    assert verdict in next(note for note in notes if "level sets" in note)
    assert "as promised" in next(note for note in notes if "intervals hold the score" in note)


def test_what_is_not_there_is_left_out(predictions: pd.DataFrame, truth: pd.DataFrame) -> None:
    words = predictions[predictions["view"] == "text"]
    table = differences_of(words, "blend", truth, 2)
    assert set(table["view"]) == {"text"} and gains_of(table) == {}


def test_what_the_picture_s_own_members_earn_is_said() -> None:
    rows = [("both", "words"), ("both", "trees"), ("both", "cover"), ("text", "words"), ("text", "trees")]
    rows += [("image", "trees"), ("image", "cover")]
    table = pd.DataFrame(rows, columns=["view", "member"]).assign(delta=0.015, low=0.009, high=0.021, n=9323)
    found = earned_notes(pd.concat([table.assign(metric="src"), table.assign(metric="accuracy")]))
    assert len(found) == 1 and "9,323 posts" in found[0] and "SRC +0.015" in found[0] and "with cover," in found[0]
