"""Whose single predictions a page looks at: the choice of model, view and split, and how models are named."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import charts, text
from dashboard.controls import one_of
from dashboard.reports import Report
from dashboard.store import Prepared, query, quoted, records

# Kinds of models whose figures are no results: their name says so wherever it stands.
MARKED = ("leak", "control")


@dataclass(frozen=True)
class Scope:
    """Whose predictions are looked at, and on which split ("all": on every one)."""

    model: str
    view: str
    split: str

    @property
    def parameters(self) -> tuple[str, str, str]:
        return self.model, self.view, self.split

    @property
    def answers(self) -> Prepared:
        """The predictions of the scope with the facts of their posts, as the table `answers`.

        Beside the columns of predictions: source, language, title_characters, image_width, image_height, group, place,
        true_score, and unit, a number for each group and each post of none; `level` and `split` are the same in both.
        """
        sql = """
            SELECT p.* EXCLUDE (model, "view"), q.source, q.language, q.title_characters, q.image_width, q.image_height,
                   q."group", q.place, q.score AS true_score, coalesce(CAST(q."group" AS BIGINT), -1 - q.place) AS unit
            FROM predictions p JOIN posts q USING (post_id) WHERE p.model = ? AND p."view" = ? """
        if self.split == "all":
            return Prepared("answers", ("posts", "predictions"), sql, (self.model, self.view))
        # Of both tables, so that neither is read whole.
        sql += "AND p.split = ? AND q.split = ?"
        return Prepared("answers", ("posts", "predictions"), sql, (*self.parameters, self.split))

    @property
    def words(self) -> str:
        """The scope in Markdown: **blend**, picture and title, test."""
        return f"**{text.markdown(self.model)}**, {view_name(self.view).lower()}, {text.markdown(self.split)} posts"


def view_name(view: object) -> str:
    return charts.VIEW_NAMES.get(str(view), str(view))


def marked(model: object, kind: object) -> str:
    """A model's name, with its kind where that is a leak or a control."""
    return f"{model} ({kind})" if kind in MARKED else str(model)


def predicted_models(report: Report) -> pd.DataFrame:
    """Models with single predictions: model, kind ("" unless known), view, split, n; shipped models first, leaks and
    controls last."""
    last = ", ".join(map(quoted, MARKED))
    kinds = "SELECT model, min(kind) AS kind FROM metrics GROUP BY model"
    if not report.has("metrics"):
        kinds = "SELECT NULL AS model, NULL AS kind WHERE false"
    sql = f"""
        SELECT *, CASE WHEN kind = 'model' THEN 0 WHEN kind IN ({last}) THEN 2 ELSE 1 END AS rank
        FROM (SELECT p.model, coalesce(k.kind, '') AS kind, p.view, p.split, count(*) AS n
              FROM predictions p LEFT JOIN ({kinds}) k USING (model) GROUP BY ALL)
        ORDER BY rank, model, "view", split = 'test'"""
    return query(report, sql)


def own_model(report: Report) -> str:
    """The recipe's own model, by the name that its predictions bear."""
    found = predicted_models(report)
    own = found.loc[found["kind"] == "model", "model"].tolist()
    return str(own[0] if own else report.facts.get("recipe", ""))


def scope_controls(report: Report) -> Scope | None:
    """Model, view and split whose single predictions are shown; None when there are no predictions."""
    found = predicted_models(report)
    if found.empty:
        st.info("The report's predictions.parquet has no rows.")
        return None
    names = {row["model"]: marked(row["model"], row["kind"]) for row in records(found)}
    with st.container(horizontal=True):
        models = list(names)
        model = models[0]
        if len(models) > 1:
            model = st.selectbox(
                "Model", models, format_func=lambda name: names[name], key="model", bind="query-params", width=260
            )
        rows = found[found["model"] == model]
        views = [view for view in charts.VIEW_NAMES if view in set(rows["view"])] or rows["view"].unique().tolist()
        # One key a model: a view that another model lacks must not linger in the URL.
        view = one_of("View", {view: view_name(view) for view in views}, f"view-{models.index(model)}")
        splits = rows.loc[rows["view"] == view, "split"].tolist()
        named = {split: split.capitalize() for split in splits}
        split = one_of("Split of the predictions", named, "on", "test" if "test" in splits else None)
    return Scope(str(model), str(view), str(split))
