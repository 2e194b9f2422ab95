"""What the page on System 3 asks of a report: figures of its recipes, curves, a confusion matrix, single answers."""

import pandas as pd

from dashboard.reports import Report
from dashboard.scope import Scope
from dashboard.selected import pictured
from dashboard.store import query

SPLIT, VIEW = "test", "both"
SHOWN = ("category_accuracy", "category_macro_f1", "src", "mae_log2", "mae_log10")
# Orders of single answers.
ORDERS = {
    "Random": "hash(post_id)",
    "Surest and right": "(category <> predicted_category), category_probability DESC",
    "Surest and wrong": "(category = predicted_category), category_probability DESC",
    "Likes furthest off": "abs(ln(greatest(true_score, 1e-9) / greatest(score, 1e-9))) DESC",
}


def compared(report: Report) -> pd.DataFrame:
    """Figures on test, both sides seen: name, kind (recipe | baseline | leak), metric, value, low, high, n.

    Recipes are those that say categories; where no other run was compared, the report's own.
    """
    names = ", ".join(f"'{name}'" for name in SHOWN)
    parts = [
        f"""SELECT model AS name, CASE WHEN kind = 'model' THEN 'recipe' ELSE kind END AS kind, metric, value, low,
        high, n FROM metrics
        WHERE protocol = 'grouped' AND split = '{SPLIT}' AND "view" = '{VIEW}' AND metric IN ({names})
        AND model IN (SELECT model FROM metrics WHERE metric = 'category_accuracy')
        AND kind IN ({"'baseline', 'leak'" if report.has("recipes") else "'model', 'baseline', 'leak'"})"""
    ]
    if report.has("recipes"):
        parts.append(
            f"""SELECT recipe AS name, 'recipe' AS kind, metric, value, low, high, n FROM recipes
            WHERE protocol = 'grouped' AND split = '{SPLIT}' AND "view" = '{VIEW}' AND metric IN ({names})
            AND recipe IN (SELECT recipe FROM recipes WHERE metric = 'category_accuracy')"""
        )
    return query(report, " UNION ALL ".join(parts))


def networks(report: Report) -> pd.DataFrame:
    """Size and training of each recipe's network: recipe, parameters, largest_layer, largest_share, epochs, …"""
    table = query(report, "SELECT * FROM networks")
    return table if "recipe" in table else table.assign(recipe=report.facts.get("recipe"))


def curves(report: Report) -> pd.DataFrame:
    """Learning curves: recipe, epoch, split, metric, value; of all compared recipes where there are any."""
    if report.has("recipe_curves"):
        return query(report, "SELECT recipe, epoch, split, metric, value FROM recipe_curves ORDER BY recipe, epoch")
    if not report.has("curves"):
        return pd.DataFrame(columns=["recipe", "epoch", "split", "metric", "value"])
    table = query(report, "SELECT epoch, split, metric, value FROM curves ORDER BY epoch")
    return table.assign(recipe=report.facts.get("recipe"))


def confusion(report: Report, model: str) -> pd.DataFrame:
    """Posts by true and predicted category: category, predicted_category, count."""
    sql = """SELECT category, predicted_category, CAST(sum("count") AS BIGINT) AS count FROM confusion
        WHERE model = ? AND split = ? AND "view" = ? GROUP BY ALL ORDER BY ALL"""
    return query(report, sql, (model, SPLIT, VIEW))


def classification(report: Report, model: str) -> pd.DataFrame:
    """The classification report: category, metric, value, low, high, n."""
    sql = """SELECT category, metric, value, low, high, n FROM classification
        WHERE model = ? AND split = ? AND "view" = ? ORDER BY n DESC, category, metric"""
    return query(report, sql, (model, SPLIT, VIEW))


def picture_classes(report: Report) -> pd.DataFrame:
    """How further pictures' class of likes per view was told: recipe, metric, value, low, high, n, size, pictures."""
    return query(
        report,
        """SELECT classes.*, networks.size, networks.pictures FROM picture_classes AS classes
        LEFT JOIN picture_networks AS networks USING (recipe) ORDER BY networks.size IS NULL, recipe, metric""",
    )


def picture_confusion(report: Report) -> pd.DataFrame:
    """Further pictures by recipe, true and predicted class: recipe, category, predicted_category, count."""
    return query(report, "SELECT * FROM picture_confusion ORDER BY ALL")


def answers(report: Report, model: str, order: str, limit: int) -> pd.DataFrame:
    """Single answers on test with what their cards show."""
    sql = f"""
        SELECT post_id, category, predicted_category, category_probability, true_score, score, score_low, score_high,
               place
        FROM answers WHERE category IS NOT NULL ORDER BY {ORDERS[order]}, post_id LIMIT ?"""
    return pictured(report, query(report, sql, (limit,), Scope(model, VIEW, SPLIT).answers))
