"""Would another recipe, other folds or another size do better? Each section names whose figures it shows."""

import pandas as pd
import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.recipes import queries
from dashboard.app_pages.recipes.more_posts import more_posts
from dashboard.controls import one_metric
from dashboard.metrics import HEADLINE, Metric, between, bracketed, metric, ordered
from dashboard.reports import Report
from dashboard.scope import view_name
from dashboard.store import records

TITLE = "Recipes and folds"
URL = "recipes"
ICON = ":material/science:"
QUESTION = "Would another recipe, other folds or another size do better?"
# What the parts of a learning curve are made of.
PARTS = {"train": "the training posts it learned from", "validation": "the training posts that chose the epoch"}
SECTIONS = ("recipes", "learning_curve", "crossvalidation", "grid", "curves")

SHOWN = ("src", "accuracy", "macro_f1", "quadratic_kappa", "r2", "mae_log10", "mae_log2")
TARGETS = {
    "score": "engagement score",
    "popularity": "popularity score",
    "popularity_with_views": "popularity score with views",
    "published": "popularity as published",
}
# What chooses among the grid, as `training.modeling.grid_search` does.
CRITERION = "log_loss"


def offered(report: Report) -> bool:
    """One of its tables is enough for the page."""
    return any(report.has(table) for table in SECTIONS)


def render(report: Report) -> None:
    for table, section in zip(SECTIONS, (_recipes, more_posts, _folds, _grid, _curves), strict=True):
        if report.has(table):
            section(report)


def _whose(report: Report, recipe: object) -> str:
    """A recipe's name, and whether it is the shipped one."""
    shipped = report.facts.get("recipe")
    if not recipe:
        return "A recipe that the report does not name"
    if recipe == shipped:
        return f"**{text.markdown(recipe)}**, the shipped model's recipe"
    return f"**{text.markdown(recipe)}**, not the shipped model's recipe ({text.markdown(shipped)})"


def _recipes(report: Report) -> None:
    table = queries.recipes(report)
    table = table[table["metric"].isin(SHOWN)]
    if table.empty:
        return
    st.subheader("What do other recipes reach?", anchor=False)
    st.caption(
        f"Picture and title, {int(table['n'].max()):,} test posts, 95% intervals in brackets, which draw whole groups. "
        f"The shipped model is {text.markdown(report.facts.get('recipe', 'not named'))}; the summary of each names its "
        "encoders. Levels and figures of another target are of another quantity: compare within one target only. "
        "What one ranks better than the shipped one is paired on the same posts; where nothing stands, it was not "
        f"tested.{report.apart('other recipes')}"
    )
    gains = {
        row["recipe"]: f"{row['gain']:+.3f} [{between(row['gain_low'], row['gain_high'], '+.3f')}]"
        for row in records(table[table["gain"].notna()])
    }
    keys = ["target", "recipe", "summary", "same_as"]
    cells = [bracketed(row) for row in records(table)]
    wide = table.assign(cell=cells).pivot_table(index=keys, columns="metric", values="cell", aggfunc="first")
    names = [name for name in SHOWN if name in wide.columns]
    wide = wide[names].fillna("").reset_index()
    # The shipped recipe first, then those of its target, which alone compare with it.
    shipped = wide["recipe"] == report.facts.get("recipe")
    same = wide["target"].isin(wide.loc[shipped, "target"])
    wide = wide.loc[(shipped.astype(int) + same).sort_values(ascending=False, kind="stable").index]
    wide["target"] = [TARGETS.get(name, str(name)) for name in wide["target"]]
    wide["gain"] = [gains.get(name, "") for name in wide["recipe"]]
    wide["recipe"] = [
        f"{name} (shipped)" if name == report.facts.get("recipe") else str(name) for name in wide["recipe"]
    ]
    labels = {name: st.column_config.TextColumn(metric(name).label, help=metric(name).definition) for name in names}
    titles = {
        "recipe": st.column_config.TextColumn("Recipe"),
        "target": st.column_config.TextColumn("Predicts"),
        "same_as": st.column_config.TextColumn("Same run as", help="On these encoders both recipes train the same."),
        "gain": st.column_config.TextColumn(
            f"{metric('src').label} over the shipped", help="Paired on the same posts; whole groups drawn."
        ),
        "summary": st.column_config.TextColumn("Summary"),
    }
    alike = [name for name in ("same_as", "gain") if wide[name].any()]
    shown = wide[["recipe", *alike, "target", *names, "summary"]]
    st.dataframe(shown, hide_index=True, key="table-recipes", column_config={**titles, **labels})
    with st.expander("What each recipe is"):
        st.markdown(
            "\n".join(f"- **{text.markdown(row['recipe'])}**: {text.markdown(row['summary'])}" for row in records(wide))
        )


def _folds(report: Report) -> None:
    every = queries.crossvalidation(report)
    means = queries.crossvalidation_means(report)
    if every.empty:
        return
    st.subheader("Does it hold on other folds?", anchor=False)
    for place, (recipe, table) in enumerate(every.groupby("recipe", sort=False)):
        st.caption(
            f"{_whose(report, recipe)}, in nested cross-validation over the training and validation posts: mean ± "
            "standard deviation over the outer folds, which only judge. Size, stopping, blend and calibration were "
            "chosen on other posts inside. Never compare across protocols, nor with the test posts: these are other "
            f"posts.{report.apart('nested folds')}"
        )
        _fold_tables(table, means[means["recipe"] == recipe], place)


def _fold_tables(table: pd.DataFrame, found: pd.DataFrame, place: int) -> None:
    names = ordered(table["metric"].unique().tolist())
    cells = [
        f"{row['mean']:.3f}" + (f" ± {row['deviation']:.3f}" if pd.notna(row["deviation"]) else " (one fold)")
        for row in records(found)
    ]
    wide = found.assign(cell=cells).pivot(index="metric", columns="protocol", values="cell").loc[names].reset_index()
    wide.insert(0, "label", [metric(name).label for name in wide["metric"]])
    wide["direction"] = [metric(name).direction for name in wide.pop("metric")]
    heads = {
        str(row["protocol"]): f"{str(row['protocol']).capitalize()}, {row['folds']} folds of {row['posts']:,} posts"
        for row in records(found.drop_duplicates("protocol"))
    }
    st.dataframe(
        wide.fillna(""),
        hide_index=True,
        key=f"table-folds-{place}",
        column_config={"label": st.column_config.TextColumn("Metric", pinned=True), "direction": "Direction", **heads},
    )
    with st.expander("Every fold"):
        shown = table[table["metric"].isin(HEADLINE)]
        keys = ["protocol", "fold", "n", "candidates", "chosen"]
        rows = shown.pivot_table(index=keys, columns="metric", values="value", aggfunc="first").reset_index()
        labels = {name: st.column_config.NumberColumn(metric(name).label, format="%.3f") for name in HEADLINE}
        titles = {"protocol": "Protocol", "fold": "Fold", "n": "Posts", "candidates": "Candidates", "chosen": "Chosen"}
        order = [*keys, *(name for name in HEADLINE if name in rows)]
        st.dataframe(rows[order], hide_index=True, key=f"every-fold-{place}", column_config={**titles, **labels})


def _grid(report: Report) -> None:
    table = queries.grid(report)
    if table.empty:
        return
    st.subheader("Which size was chosen?", anchor=False)
    what = one_metric("Figure of the grid", table["metric"].unique().tolist(), "grid", "accuracy")
    for place, (_, rows) in enumerate(table[table["metric"] == what.name].groupby("recipe", sort=False)):
        _grid_table(report, rows, what, place)


def _grid_table(report: Report, rows: pd.DataFrame, what: Metric, place: int) -> None:
    rows = rows.assign(cell=[f"{row['value']:.3f}" + " ●" * bool(row["chosen"]) for row in records(rows)])
    wide = rows.pivot_table(index="depth", columns="iterations", values="cell", aggfunc=" / ".join, fill_value="")
    wide.columns = pd.Index([f"{trees:,} trees" for trees in wide.columns])
    st.dataframe(wide.reset_index(), hide_index=True, key=f"table-grid-{place}", column_config={"depth": "Depth"})
    chosen = ", ".join(rows.loc[rows["chosen"].astype(bool), "candidate"])
    st.caption(
        f"{_whose(report, rows['recipe'].iloc[0])}. {what.title} on {int(rows['n'].max()):,} training "
        f"posts that it did not learn from, by depth and number of trees. ● {text.markdown(chosen)} has the best "
        f"{metric(CRITERION).label.lower()} and was taken. The posts that chose it flatter it: the test figures judge."
        f"{report.apart('the grid')}"
    )


def _curves(report: Report) -> None:
    table = queries.curves(report)
    if table.empty:
        return
    st.subheader("When did training stop learning?", anchor=False)
    names = table["metric"].unique().tolist()
    choice = st.pills(
        "Figure", names, default=names[0], required=True, format_func=_curve_name, key="curve", bind="query-params"
    )
    rows = table[table["metric"] == choice].rename(columns={"model": "series", "split": "style"})
    x = "epoch" if rows["epoch"].nunique() > 1 else "step"
    chart = charts.lines(rows, x, x.capitalize(), _curve_name(str(choice)))
    charts.show(chart, "curves", "Learning curves")
    parts = " and ".join(f"{text.markdown(part)}: {PARTS[part]}" for part in rows["style"].unique() if part in PARTS)
    st.caption(f"{_whose(report, report.facts.get('recipe'))}. {parts}".rstrip(". ") + ".")


def _curve_name(name: str) -> str:
    """A curve's figure in words: trainers add the view to the metric, as in "src_both"."""
    base, _, view = name.rpartition("_")
    return f"{metric(base).label}, {view_name(view).lower()}" if view in charts.VIEW_NAMES else metric(name).label
