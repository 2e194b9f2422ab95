"""What the page on recipes and folds asks of a report: figures of other recipes, folds, candidates and epochs."""

import pandas as pd

from dashboard.reports import Report
from dashboard.store import query


def recipes(report: Report) -> pd.DataFrame:
    """Figures of recipes on grouped test, both sides seen: recipe, summary, target, same_as (other names of the same
    run, "" for none), metric, value, low, high, n, and what it has over the shipped one: gain, gain_low, gain_high."""
    same = "coalesce(same_as, '')" if report.has_column("recipes", "same_as") else "''"
    gain = "gain, gain_low, gain_high" if report.has_column("recipes", "gain") else "NULL AS gain"
    sql = f"""
        SELECT recipe, summary, target, {same} AS same_as, metric, value, low, high, n, {gain} FROM recipes
        WHERE protocol = 'grouped' AND split = 'test' AND "view" = 'both' AND value IS NOT NULL
        ORDER BY target, recipe, metric"""
    return query(report, sql)


def crossvalidation(report: Report) -> pd.DataFrame:
    """Figures of every outer fold: recipe, protocol, fold, candidates, chosen, metric, value, n."""
    return query(report, "SELECT * FROM crossvalidation WHERE value IS NOT NULL ORDER BY protocol, fold, metric")


def crossvalidation_means(report: Report) -> pd.DataFrame:
    """Over the outer folds: recipe, protocol, metric, mean, deviation (sample standard deviation), folds, posts."""
    sql = """
        SELECT recipe, protocol, metric, avg(value) AS mean, stddev_samp(value) AS deviation, count(*) AS folds,
               CAST(sum(n) AS BIGINT) AS posts
        FROM crossvalidation WHERE value IS NOT NULL GROUP BY ALL ORDER BY recipe, protocol, metric"""
    return query(report, sql)


def grid(report: Report) -> pd.DataFrame:
    """Validation figures of the candidates of a recipe's first member: recipe, candidate, iterations, depth, chosen, …

    `recipe` is empty where the report does not say whose they are.
    """
    sql = "SELECT * FROM grid WHERE value IS NOT NULL ORDER BY depth, iterations, metric"
    table = query(report, sql)
    return table if "recipe" in table else table.assign(recipe="")


def curves(report: Report) -> pd.DataFrame:
    """Learning curves as written by the trainers, the first epoch being 1, as on System 3's page."""
    sql = "SELECT model, epoch + 1 AS epoch, step, split, metric, value FROM curves ORDER BY model, metric, step, epoch"
    return query(report, sql)
