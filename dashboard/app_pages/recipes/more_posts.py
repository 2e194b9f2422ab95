"""What would more posts bring? The members and their blend on fewer posts, answering the same others."""

import plotly.graph_objects as go
import streamlit as st

from dashboard import charts, text
from dashboard.controls import download, one_metric, one_of
from dashboard.metrics import between, verdict
from dashboard.reports import Report
from dashboard.store import query, records

# As `training.evaluation.learning_curve` names it.
BLEND = "blend"


def more_posts(report: Report) -> None:
    """The section, where the report has such a table."""
    table = query(report, "SELECT * FROM learning_curve ORDER BY posts")
    if table.empty:
        return
    st.subheader("What would more posts bring?", anchor=False)
    with st.container(horizontal=True):
        what = one_metric("Metric by size", table["metric"].unique().tolist(), "size-metric", in_url=False)
        views = {view: name for view, name in charts.VIEW_NAMES.items() if view in set(table["view"])}
        view = one_of("It sees", views, "size-view", in_url=False)
    rows = table[(table["metric"] == what.name) & (table["view"] == view)].rename(columns={"member": "series"})
    chart = charts.lines(rows.assign(style=""), "posts", "Posts learned from", what.label)
    blend = rows[rows["series"] == BLEND]
    for line, member in zip(chart.data, dict.fromkeys(rows["series"]), strict=True):
        line.name = charts.plain(member)
        if member == BLEND:
            line.error_y = go.scatter.ErrorY(
                array=blend["high"] - blend["value"], arrayminus=blend["value"] - blend["low"], thickness=1
            )
    sizes = sorted(set(rows["posts"]))
    chart.update_xaxes(type="log", tickvals=sizes, ticktext=[f"{size:,}" for size in sizes])
    charts.show(chart, "more-posts", "Figures by posts learned from")
    last = next(iter(records(blend[blend["posts"] == blend["posts"].max()])), None)
    gain = ""
    if last and len(sizes) > 1:
        gain = (
            f"From {sizes[-2]:,} to {last['posts']:,} posts {what.label} of the blend moved by "
            f"{last['gain']:+.3f} [{between(last['gain_low'], last['gain_high'], '+.3f')}]: "
            f"{verdict(what.name, last['gain_low'], last['gain_high'])}. "
        )
    if day := report.since("the learning curve"):
        gain += f"All of it is of another run of the recipe ({text.markdown(day)}), whose members may differ. "
    st.caption(
        f"{gain}Bars are 95% intervals of the blend, which draw whole groups. Each size is part of the larger one; the "
        f"same {int(rows['n'].max()):,} other posts are answered each time, and other groups of them weigh the blend. "
        "Pictures of which only a class of likes per view is known were there in whole at every size. What lies beyond "
        "the last point was not tested."
    )
    download("All sizes as CSV", table, "learning_curve.csv")
