"""A tile that holds one figure with everything that belongs beside it: its interval, and what it is set against."""

from collections.abc import Sequence

import streamlit as st

from dashboard.charts import TILE
from dashboard.metrics import Metric, between, verdict

# Streamlit's own colours, which follow the theme: blue and orange are told apart with every colour-blindness.
COLORS = {"better": "blue", "worse": "orange", "higher": "orange", "lower": "orange"}


def tile(what: Metric, value: str, lines: Sequence[str]) -> None:
    """A bordered tile: the metric's label, its value, and lines of Markdown below; its definition on the label."""
    with st.container(border=True, width=TILE, gap="xxsmall"):
        st.metric(what.label, value, help=what.definition)
        # Not a caption: its faintness would take the colours' contrast.
        st.markdown("  \n".join(f":small[{line}]" for line in lines))


def interval_line(low: float, high: float, style: str = ".3f") -> str:
    return f"95%: {between(low, high, style) or 'no interval'}"


def verdict_line(what: Metric, low: float, high: float) -> str:
    """What a difference's interval says, coloured where it says something."""
    word = verdict(what.name, low, high)
    return f":{COLORS[word]}[**{word}**]" if word in COLORS else word


def difference_lines(what: Metric, delta: float, low: float, high: float) -> list[str]:
    """A paired difference, what its interval says, and the interval."""
    return [f"**{delta:+.3f}** {verdict_line(what, low, high)}", interval_line(low, high, "+.3f")]
