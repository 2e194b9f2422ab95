"""What the page asks of a report's study of picture and words. Bins bear their name in `label`."""

import pandas as pd

from dashboard.charts import MOST_DOTS
from dashboard.reports import Report
from dashboard.scope import Scope
from dashboard.selected import chosen
from dashboard.selection import Selection
from dashboard.store import AMONG, listed, query, records
from engine.scoring import LEVELS


def signals(report: Report) -> list[str]:
    """Signals that the report has means of."""
    return query(report, "SELECT DISTINCT signal FROM consistency ORDER BY signal")["signal"].tolist()


def verdicts(report: Report) -> pd.DataFrame:
    """signal, against, verdict, survives, sentence."""
    return query(report, "SELECT * FROM verdicts ORDER BY signal, against")


def trends(report: Report) -> pd.DataFrame:
    """Rank correlations of signals that are defined: signal, against, cleaning, control, value, low, high, n."""
    sql = """
        SELECT signal, against, cleaning, control, value, low, high, n FROM trends WHERE isfinite(value)
        ORDER BY signal, against = 'popularity', against, cleaning DESC, control DESC"""
    return query(report, sql)


def means(report: Report, signal: str, by: str) -> pd.DataFrame:
    """Means of a signal by "level" or by "interval" of popularity: bin, label, cleaning, control, value, low, high,
    n."""
    sql = """
        SELECT bin, bin_low, bin_high, cleaning, control, value, low, high, n
        FROM consistency WHERE signal = ? AND "by" = ? AND isfinite(value) ORDER BY cleaning DESC, control DESC, bin"""
    return _labelled(query(report, sql, (signal, by)), by)


def removal(report: Report, by: str) -> pd.DataFrame:
    """Shares that cleaning removes, for any reason first: bin, label, reason, value, low, high, n."""
    sql = """
        SELECT bin, bin_low, bin_high, reason, value, low, high, n
        FROM removal WHERE "by" = ? ORDER BY reason <> 'any', reason, bin"""
    return _labelled(query(report, sql, (by,)), by)


def _labelled(table: pd.DataFrame, by: str) -> pd.DataFrame:
    labels = [
        LEVELS[row["bin"]] if by == "level" else _between(row["bin_low"], row["bin_high"]) for row in records(table)
    ]
    return table.drop(columns=["bin_low", "bin_high"]).assign(label=labels)


def _between(low: float, high: float) -> str:
    """The bounds of a bin; one that is null or NaN is open."""
    if pd.isna(low):
        return "all" if pd.isna(high) else f"<{high:g}"
    return f"≥{low:g}" if pd.isna(high) else f"{low:g}–{high:g}"


def quantiles(report: Report, signal: str, cleaned: bool) -> pd.DataFrame:
    """How a signal spreads in each level: level, bottom (5 %), low (25 %), middle, high (75 %), top (95 %), n.

    No rows when signals.parquet has no such column.
    """
    if not report.has_column("signals", signal):
        return pd.DataFrame(columns=["level", "bottom", "low", "middle", "high", "top", "n"])
    column = '"' + signal.replace('"', '""') + '"'
    shares = {"bottom": 0.05, "low": 0.25, "middle": 0.5, "high": 0.75, "top": 0.95}
    parts = ", ".join(f"found[{place}] AS {name}" for place, name in enumerate(shares, start=1))
    sql = f"""
        SELECT level, {parts}, n FROM (
            SELECT level, quantile_cont({column}, {list(shares.values())}) AS found, count(*) AS n
            FROM signals WHERE isfinite({column}) AND (removed = '' OR NOT ?) GROUP BY level) ORDER BY level"""
    return query(report, sql, (cleaned,))


def matching(report: Report) -> pd.DataFrame:
    """How often what belongs together is found: dataset, model, direction, metric, value, low, high, n."""
    sql = """
        SELECT dataset, model, direction, metric, value, low, high, n FROM matching
        ORDER BY direction = 'pairs', direction DESC, length(metric), metric, model"""
    return query(report, sql)


def captions(report: Report) -> pd.DataFrame:
    """dataset, metric, value, low, high, n; the difference is that of nouns."""
    sql = """
        SELECT dataset, if(metric = 'difference', 'nouns_difference', metric) AS metric, value, low, high, n
        FROM captions ORDER BY dataset DESC"""
    return query(report, sql)


def caption_examples(report: Report) -> pd.DataFrame:
    return query(report, "SELECT dataset, name, caption FROM caption_examples ORDER BY dataset DESC, name LIMIT 200")


def sides(report: Report, scope: Scope, selection: Selection) -> pd.DataFrame:
    """Posts with what a model expects of picture and title alone: post_id, level, split, image, text, chosen.

    Of `MOST_DOTS` posts of the scope at most, drawn by chance.
    """
    sql = f"SELECT post_id, level, split FROM answers ORDER BY hash(post_id) LIMIT {MOST_DOTS}"
    drawn = chosen(report, scope, selection, query(report, sql, (), scope.answers))
    sql = f"""
        SELECT post_id, max(expected_level) FILTER ("view" = 'image') AS image,
               max(expected_level) FILTER ("view" = 'text') AS text
        FROM predictions WHERE model = ? AND split = ? AND {AMONG}
        GROUP BY post_id ORDER BY post_id"""
    alone = query(report, sql, (scope.model, scope.split, listed(drawn["post_id"])))
    return drawn.merge(alone.dropna(), on="post_id").sort_values("post_id", ignore_index=True)
