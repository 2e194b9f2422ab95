"""The page on System 3: the recipes beside one another, curves, the confusion matrix, answers on their pictures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.app import offered
from dashboard.app_pages.system3 import page as system3
from dashboard.app_pages.system3 import queries
from dashboard.app_pages.system3.charts import written
from dashboard.previews import Content
from dashboard.reports import open_report
from tests.dashboard_page import page, texts
from tests.tiny_report import RECIPE, altered

CLASSES = ("beach", "forest & lake")
OTHER = "tiny_as_published"


def frame(rows: list[tuple], columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


@pytest.fixture(scope="module")
def folder(tiny_report: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny report with made-up categories, in the form that `evaluate` and `compare` give them."""
    keys = ("both", "test")

    def answers(rows: pd.DataFrame) -> pd.DataFrame:
        own = rows["model"] == RECIPE
        truth = np.array(CLASSES)[rows["level"].to_numpy() % 2]
        guess = np.where(rows["score"] > rows["score"].median(), truth, CLASSES[0])
        return rows.assign(
            category=pd.Series(truth, rows.index).where(own),
            predicted_category=pd.Series(guess, rows.index).where(own),
            category_probability=rows["score"].rank(pct=True),
        )

    def figures(rows: pd.DataFrame) -> pd.DataFrame:
        one = rows[rows["metric"].eq("accuracy") & rows["split"].eq("test") & rows["view"].eq("both")]
        more = [
            one[one["model"] == name]
            .head(1)
            .assign(metric="category_accuracy", value=value, low=0.2, high=0.8, kind=kind)
            for name, kind, value in ((RECIPE, "model", 0.611), ("majority", "baseline", 0.511))
        ]
        leak = more[0].assign(model="heads + comments", kind="leak", value=0.711)
        return pd.concat([rows, *more, leak])

    def compared(rows: pd.DataFrame) -> pd.DataFrame:
        one = rows[(rows["recipe"] == RECIPE) & rows["view"].eq("both") & rows["split"].eq("test")].head(1)
        one = one.assign(metric="category_accuracy", low=0.2, high=0.8)
        return pd.concat([rows, one.assign(value=0.611), one.assign(recipe=OTHER, value=0.311)])

    copy = altered(
        tiny_report,
        tmp_path_factory.mktemp("classes") / "report",
        predictions=answers,
        metrics=figures,
        recipes=compared,
    )
    cells = [(RECIPE, *keys, true, said, 3 + (true == said)) for true in CLASSES for said in CLASSES]
    frame(cells, "model view split category predicted_category count").to_parquet(copy / "confusion.parquet")
    report = [
        (RECIPE, *keys, name, metric, 0.5, 0.4, 0.6, 7) for name in CLASSES for metric in ("precision", "recall", "f1")
    ]
    frame(report, "model view split category metric value low high n").to_parquet(copy / "classification.parquet")
    sizes = [
        ("heads", 600_000, "encoder.x", 0.15, 9, 4, RECIPE),
        ("heads", 137_000_000, "encoder.flat", 0.98, 5, 4, OTHER),
    ]
    columns = "network parameters largest_layer largest_share epochs kept_epoch recipe"
    frame(sizes, columns).to_parquet(copy / "networks.parquet")
    curves = [
        (recipe, "heads", epoch, epoch * 10, split, metric, 0.1 * epoch)
        for recipe in (RECIPE, OTHER)
        for epoch in range(4)
        for split in ("train", "validation")
        for metric in ("category_accuracy", "score_loss")
    ]
    frame(curves, "recipe model epoch step split metric value").to_parquet(copy / "recipe_curves.parquet")
    classes = [
        (recipe, metric, value, value - 0.1, value + 0.1, 40)
        for recipe, value in ((RECIPE, 0.321), (OTHER, 0.421), ("majority", 0.363))
        for metric in ("category_accuracy", "category_macro_f1", "src")
        if (recipe, metric) != ("majority", "src")
    ]
    frame(classes, "recipe metric value low high n").to_parquet(copy / "picture_classes.parquet")
    bands = ("10% to 100%", "2% to 5%")
    cells = [(recipe, true, said, 10) for recipe in (RECIPE, OTHER) for true in bands for said in bands]
    frame(cells, "recipe category predicted_category count").to_parquet(copy / "picture_confusion.parquet")
    sizes = [(recipe, "160×96", 500, 600_000, 9, 4) for recipe in (RECIPE, OTHER)]
    columns = "recipe size pictures parameters epochs kept_epoch"
    frame(sizes, columns).to_parquet(copy / "picture_networks.parquet")
    return copy


def test_it_appears_where_its_tables_are(folder: Path, tiny_report: Path, tmp_path: Path) -> None:
    assert offered(system3, open_report(folder))
    assert not offered(system3, open_report(tiny_report))
    unknown = altered(folder, tmp_path / "unknown", classification=lambda rows: rows.iloc[:0])
    app = page("system3", unknown).run()
    assert not app.exception and "Which categories are told apart?" not in texts(app)
    twice = altered(folder, tmp_path / "report", confusion=lambda rows: pd.concat([rows, rows]))
    found = open_report(twice)
    assert not offered(system3, found) and any("a cell twice" in problem for problem in found.problems)


def test_recipes_baseline_and_leak_stand_in_one_table(folder: Path) -> None:
    app = page("system3", folder).run()
    assert not app.exception
    table = app.dataframe[0].value.set_index("name")
    own, other = table.loc[f"{RECIPE} (this report)"], table.loc[OTHER]
    assert table.index.tolist() == [f"{RECIPE} (this report)", OTHER, "majority", "heads + comments (leak)"]
    assert own["category_accuracy"] == "0.611 [0.200 to 0.800]" and other["category_accuracy"].startswith("0.311")
    assert (own["largest_share"], other["largest_share"]) == (0.15, 0.98) and other["kept"] == 5
    assert "Differences were not tested" in texts(app)


def test_curves_of_each_recipe_and_the_report_of_classes(folder: Path) -> None:
    app = page("system3", folder).run()
    assert f"**{OTHER.replace('_', chr(92) + '_')}**" in texts(app)
    app.pills(key="system3-curve").set_value("score_loss").run()
    assert not app.exception
    classes = app.dataframe[1].value
    assert classes["category"].tolist() == list(CLASSES) and classes["f1"].iloc[0] == "0.50 [0.40 to 0.60]"


def test_a_category_that_was_never_said_has_no_precision(folder: Path, tmp_path: Path) -> None:
    said = altered(folder, tmp_path / "report", confusion=lambda rows: rows[rows["predicted_category"] != CLASSES[0]])
    app = page("system3", said).run()
    [table] = [found.value for found in app.dataframe if "precision" in found.value]
    precision = table.set_index("category")["precision"]
    assert precision[CLASSES[0]] == "none predicted" and precision[CLASSES[1]].startswith("0.50 [")


def test_an_answer_is_written_on_its_picture_and_harmless() -> None:
    row = {
        "post_id": "a<b", "category": CLASSES[1], "predicted_category": "<i>", "category_probability": 0.42,
        "true_score": 1234.0, "score": 999.0, "score_low": 10.0, "score_high": 54_321.0, "thumbhash": None,
        "image_url": "https://x.test/a.jpg",
    }  # fmt: skip
    html = written(pd.DataFrame([row]), {"a<b": Content(picture="data:image/jpeg;base64,AA")}, True, " likes")
    assert (
        "&lt;i&gt; 42%" in html and "1,000 likes (10 to 54,000)" in html and "✗ forest &amp; lake, 1,200 likes" in html
    )
    assert "data:image/jpeg;base64,AA" in html and "https://x.test" not in html
    assert "https://x.test/a.jpg" in written(pd.DataFrame([row]), {}, online=True)
    assert "https://x.test/a.jpg" not in written(pd.DataFrame([row]), {}, online=False)


def test_what_pictures_alone_tell_of_likes_per_view_stands_last_where_it_was_measured(
    folder: Path, tmp_path: Path
) -> None:
    app = page("system3", folder).run()
    table = app.dataframe[2].value.set_index("recipe")
    assert table["category_accuracy"].to_dict()["majority"] == "0.363 [0.263 to 0.463]"
    assert table.loc[OTHER, "size"] == "160×96" and table.loc["majority", ["src", "size"]].tolist() == ["", ""]
    assert "40 test covers" in texts(app) and "500 others were learned from" in texts(app)
    without = altered(folder, tmp_path / "report", picture_classes=None)
    assert "from a picture alone" not in texts(page("system3", without).run())
    for name in ("picture_classes", "picture_confusion", "picture_networks"):
        empty = page("system3", altered(folder, tmp_path / name, **{name: lambda rows: rows.head(0)})).run()
        assert not empty.exception and "from a picture alone" not in texts(empty)
    twice = altered(folder, tmp_path / "twice", picture_confusion=lambda rows: pd.concat([rows, rows]))
    assert any("a cell twice" in problem for problem in open_report(twice).problems)


def test_order_changes_which_answers_are_shown(folder: Path) -> None:
    app = page("system3", folder).run()
    app.selectbox(key="system3-order").select("Surest and wrong").run()
    assert not app.exception
    table = pd.read_parquet(folder / "predictions.parquet")
    table = table.query("model == @RECIPE and view == 'both' and split == 'test'")
    right = table["category"] == table["predicted_category"]
    for order, part in (("Surest and right", table[right]), ("Surest and wrong", table[~right])):
        first = part.sort_values(["category_probability", "post_id"], ascending=[False, True])["post_id"].head(3)
        assert queries.answers(open_report(folder), RECIPE, order, 3)["post_id"].tolist() == first.tolist(), order
    assert "FIRST\\_IMPRESSIONS\\_DATA" in texts(app) or "FIRST_IMPRESSIONS_DATA" in texts(app)
