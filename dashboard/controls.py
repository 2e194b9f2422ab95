"""What a reader chooses among on several pages, one of a few names or a metric, and what is taken away of them."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from dashboard import text
from dashboard.metrics import Metric, metric, ordered

Option = TypeVar("Option")


def one_of(
    label: str,
    names: Mapping[Option, str],
    key: str,
    default: Option | None = None,
    *,
    reason: str | None = None,
    in_url: bool = True,
) -> Option:
    """One of a few options, whose `names` stand side by side; the first where no other is the `default`."""
    first = next(iter(names)) if default is None else default
    look: Any = {"required": True, "format_func": names.__getitem__, "bind": "query-params" if in_url else None}
    chosen: Any = st.segmented_control(label, list(names), default=first, key=key, help=reason, **look)
    return chosen  # type: ignore[no-any-return]


def one_metric(
    label: str, names: Sequence[str], key: str, default: str | None = None, *, in_url: bool = True
) -> Metric:
    """One of several metrics in the catalogue's order; the first where `default` is not among them."""
    offered = ordered(names)
    chosen = st.selectbox(
        label,
        offered,
        index=offered.index(default) if default in offered else 0,
        format_func=lambda name: metric(name).label,
        key=key,
        bind="query-params" if in_url else None,
        width=320,
    )
    return metric(str(chosen))


def download(label: str, table: pd.DataFrame, file: str) -> None:
    """A button for a small table as CSV."""
    st.download_button(label, text.csv(table), file, "text/csv", on_click="ignore")
