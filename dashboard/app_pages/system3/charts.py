"""The confusion matrix of categories, and answers written on their pictures."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import ACCENT, ink, layout, plain, tinted
from dashboard.previews import Content, layers
from dashboard.store import records

STYLE = """<style>
.fi-written-grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:.8rem}
.fi-written{position:relative;aspect-ratio:16/9;border-radius:.5rem;overflow:hidden;background-size:cover;
  background-position:center;background-color:#4a5563;margin:0}
.fi-written figcaption{position:absolute;inset:auto 0 0 0;padding:1.6rem .7rem .5rem;color:#fff;font-size:.82rem;
  line-height:1.35;background:linear-gradient(transparent,rgba(0,0,0,.85) 45%);display:flex;flex-direction:column}
.fi-written b{font-size:.98rem}
</style>"""


def confusion(table: pd.DataFrame, names: list[str]) -> go.Figure:
    """True category down, predicted across; a cell's shade is its share of the true category, its text the posts."""
    counts = table.pivot_table(index="category", columns="predicted_category", values="count", aggfunc="sum")
    counts = counts.reindex(index=names, columns=names).fillna(0).astype(int)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    labels = [plain(name) for name in names]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=labels,
            y=labels,
            text=counts.astype(str).replace("0", ""),
            texttemplate="%{text}",
            textfont={"color": ink()},
            customdata=counts,
            hovertemplate="%{y}, predicted %{x}: %{customdata:,} posts, %{z:.0%} of the true ones<extra></extra>",
            colorscale=[[0, tinted(ACCENT, 0.04)], [1, tinted(ACCENT, 0.85)]],
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    layout(figure, 190 + 30 * len(names), "Predicted category", "True category")
    figure.update_xaxes(tickangle=-45, showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def written(rows: pd.DataFrame, contents: Mapping[str, Content], online: bool, unit: str = "") -> str:
    """HTML of pictures with the answer on each: category, score in its unit with the interval, and what was true."""
    figures = "".join(_one(row, contents, online, unit) for row in records(rows))
    return f'{STYLE}<div class="fi-written-grid">{figures}</div>'


def _one(row: dict[str, Any], contents: Mapping[str, Content], online: bool, unit: str) -> str:
    style = layers(row, contents.get(str(row["post_id"]), Content()), online)
    right = row["category"] == row["predicted_category"]
    truth = f"{'✓' if right else '✗'} {row['category']}, {_number(row['true_score'])}{unit}"
    said = f"{_number(row['score'])}{unit} ({_number(row['score_low'])} to {_number(row['score_high'])})"
    return (
        f'<figure class="fi-written" role="img" aria-label="Picture of post {escape(str(row["post_id"]), quote=True)}"'
        f"{style}><figcaption><b>{escape(str(row['predicted_category']))} {row['category_probability']:.0%}</b>"
        f"<span>{said}</span><span>True: {escape(truth)}</span></figcaption></figure>"
    )


def _number(score: float) -> str:
    """A score to two meaningful digits, as people write it."""
    return f"{float(f'{score:.2g}'):,.0f}" if abs(score) >= 10 else f"{score:.2g}"
