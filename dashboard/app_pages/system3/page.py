"""Which category is it, how many likes will it get, and why did the published model fail?"""

from typing import Any

import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.system3 import charts as figures
from dashboard.app_pages.system3 import queries
from dashboard.metrics import bracketed, metric
from dashboard.reports import Report
from dashboard.scope import marked, own_model
from dashboard.selected import contents_of
from dashboard.store import records

TITLE = "System 3"
URL = "system-3"
ICON = ":material/category:"
QUESTION = "Which category is it, how many likes will it get, and why did the published model fail?"
NEEDS = ("posts", "metrics", "predictions", "classification", "confusion", "networks")
# Figures of an epoch, and of which posts.
CURVES = ("category_accuracy", "category_loss", "score_loss", "loss", "criterion")
PARTS = {"train": "learned from", "validation": "set apart"}
CARDS = 12


def render(report: Report) -> None:
    model = own_model(report)
    _compared(report, model)
    _curves(report, model)
    _classes(report, model)
    _answers(report, model)
    if report.has("picture_classes", "picture_confusion", "picture_networks"):
        _picture_classes(report)


def _compared(report: Report, model: str) -> None:
    st.subheader("As published, corrected, and with what it lacked", anchor=False)
    table = queries.compared(report)
    if table.empty:
        st.info("The report has no figures of categories on its test posts.")
        return
    cells = [bracketed(row) for row in records(table)]
    wide = table.assign(cell=cells).pivot_table(
        index=["name", "kind"], columns="metric", values="cell", aggfunc="first"
    )
    names = [name for name in queries.SHOWN if name in wide.columns]
    # One distance is enough: in the unit that the dataset publishes, where it does.
    names = [name for name in names if name != "mae_log10" or "mae_log2" not in names]
    wide = wide[names].fillna("").reset_index()
    sizes = queries.networks(report).drop_duplicates("recipe").set_index("recipe")
    for column in ("parameters", "largest_share", "epochs"):
        wide[column] = wide["name"].map(sizes[column])
    wide["kept"] = wide["name"].map(sizes["kept_epoch"] + 1)
    order = {"recipe": 1, "baseline": 2, "leak": 3}
    place = [0 if row["name"] == model else order.get(str(row["kind"]), 9) for row in records(wide)]
    wide = wide.assign(place=place).sort_values(["place", "name"], kind="stable")
    wide["name"] = [
        f"{row['name']} (this report)" if row["name"] == model else marked(row["name"], row["kind"])
        for row in records(wide)
    ]
    columns = {name: st.column_config.TextColumn(metric(name).label, help=metric(name).definition) for name in names}
    sized = {
        "parameters": st.column_config.NumberColumn("Trained parameters", format="compact"),
        "largest_share": st.column_config.NumberColumn(
            "In one layer", format="percent", help="Share of the trained parameters that the largest layer holds."
        ),
        "epochs": st.column_config.NumberColumn("Epochs"),
        "kept": st.column_config.NumberColumn("Kept", help="Epoch whose weights were kept, the first being 1."),
    }
    st.dataframe(
        wide[["name", *names, *sized]],
        hide_index=True,
        key="table-system3",
        column_config={"name": st.column_config.TextColumn("Model", pinned=True), **columns, **sized},
    )
    st.caption(
        f"{int(table['n'].max()):,} test posts, none of whose groups was learned from; 95% intervals in brackets, "
        "which draw whole groups. The majority is the training posts' most frequent category. Differences were not "
        "tested."
    )


def _curves(report: Report, model: str) -> None:
    table = queries.curves(report)
    names = [name for name in CURVES if name in set(table["metric"])]
    if not names:
        return
    st.subheader("When did training stop learning?", anchor=False)
    choice = st.pills(
        "Figure",
        names,
        default=names[0],
        required=True,
        format_func=lambda name: metric(name).label,
        key="system3-curve",
        bind="query-params",
    )
    rows = table[table["metric"] == choice]
    recipes = [name for name in (model, *sorted(set(rows["recipe"]) - {model})) if name in set(rows["recipe"])]
    for recipe, column in zip(recipes, st.columns(len(recipes), gap="medium"), strict=True):
        part = rows[rows["recipe"] == recipe]
        shown = part.assign(
            series="Posts", style=part["split"].map(PARTS).fillna(part["split"]), epoch=part["epoch"] + 1
        )
        with column:
            st.markdown(f"**{text.markdown(recipe)}**")
            chart = charts.lines(shown, "epoch", "Epoch", metric(str(choice)).label)
            charts.show(chart, f"curve-{recipe}", f"Learning curve of {recipe}")
    st.caption(
        "Posts set apart are whole groups of the training split that chose the epoch. The losses of a published "
        "configuration are of raw likes, so only the shape of its curves compares."
    )


def _classes(report: Report, model: str) -> None:
    table = queries.classification(report, model)
    if table.empty:
        return
    st.subheader("Which categories are told apart?", anchor=False)
    names = list(dict.fromkeys(table["category"]))
    left, right = st.columns(2, gap="medium")
    with left:
        matrix = figures.confusion(queries.confusion(report, model), names)
        charts.show(matrix, "confusion-categories", "Confusion matrix of categories")
    with right:
        predicted = set(queries.confusion(report, model)["predicted_category"])
        cells = [
            "none predicted"
            if row["metric"] == "precision" and row["category"] not in predicted
            else bracketed(row, ".2f")
            for row in records(table)
        ]
        wide = table.assign(cell=cells).pivot_table(
            index=["category", "n"], columns="metric", values="cell", aggfunc="first"
        )
        wide = wide.reset_index().sort_values("n", ascending=False, kind="stable")
        titles: dict[str, Any] = {"category": st.column_config.TextColumn("Category", pinned=True), "n": "Posts"}
        titles |= {name: metric(name).label for name in ("precision", "recall", "f1")}
        st.dataframe(wide[list(titles)], hide_index=True, key="table-classes", column_config=titles)
    st.caption(
        f"**{text.markdown(model)}**, test posts. A cell's number is of posts, its shade the share of the true "
        "category; 95% intervals in brackets, which draw whole groups; where all fared alike they have no width, which "
        "does not say that the next one would."
    )


def _answers(report: Report, model: str) -> None:
    st.subheader("The answers on their pictures", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.selectbox("Order", list(queries.ORDERS), key="system3-order", bind="query-params", width=280)
        online = st.toggle("Pictures from their public address", value=True, key="system3-online")
    rows = queries.answers(report, model, str(order), CARDS)
    contents = contents_of(rows)
    formula = str(report.facts.get("score_formula", "the score"))
    unit = " likes" if formula.startswith("likes") else ""
    st.html(figures.written(rows, contents, online, unit))
    pictures = (
        ""
        if contents
        else (
            " Pictures are not part of a report. To see them, set FIRST_IMPRESSIONS_DATA to a folder whose "
            "posts.parquet holds the posts, such as the work folder."
        )
    )
    st.caption(
        f"Likeliest category with its probability; score ({text.markdown(formula)}) with its 80% interval.{pictures}"
    )


def _picture_classes(report: Report) -> None:
    table, counts = queries.picture_classes(report), queries.picture_confusion(report)
    if table.empty or counts.empty or table["pictures"].isna().all():
        return
    st.subheader("Likes per view from a picture alone", anchor=False)
    cells = [bracketed(row) for row in records(table)]
    wide = table.assign(cell=cells).pivot_table(
        index="recipe", columns="metric", values="cell", aggfunc="first", sort=False
    )
    names = [name for name in ("category_accuracy", "category_macro_f1", "src") if name in wide.columns]
    wide["size"] = table.groupby("recipe")["size"].first()
    columns = {name: st.column_config.TextColumn(metric(name).label, help=metric(name).definition) for name in names}
    st.dataframe(
        wide[[*names, "size"]].fillna("").reset_index(),
        hide_index=True,
        key="table-picture-classes",
        column_config={
            "recipe": st.column_config.TextColumn("Model", pinned=True),
            **columns,
            "size": st.column_config.TextColumn("Pixels", help="Size at which the pictures are seen."),
        },
    )
    classes = sorted({*counts["category"], *counts["predicted_category"]}, key=lambda name: float(name.split("%")[0]))
    recipes = list(dict.fromkeys(counts["recipe"]))
    for recipe, column in zip(recipes, st.columns(len(recipes), gap="medium"), strict=True):
        with column:
            st.markdown(f"**{text.markdown(recipe)}**")
            chart = figures.confusion(counts[counts["recipe"] == recipe], classes)
            alt = f"Confusion matrix of likes per view by {recipe}"
            charts.show(chart, f"confusion-pictures-{recipe}", alt)
    st.caption(
        f"{int(table['n'].max()):,} test covers of which only a class of likes per view is known; "
        f"{int(table['pictures'].max()):,} others were learned from. The category head tells the class, the score head "
        "ranks. 95% intervals in brackets, which draw covers that look alike together. Channels are not known, so "
        "covers of one channel may have been learned from. The majority is the most frequent class."
    )
