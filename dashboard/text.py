"""Foreign text made harmless, in Markdown and in CSV files that a spreadsheet opens, and codes as people read them."""

import io
import re

import pandas as pd

from engine.batch.table import guard_formula

MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&^])")


def markdown(value: object) -> str:
    """Text that Streamlit's Markdown shows letter by letter."""
    return MARKDOWN.sub(r"\\\1", " ".join(str(value).split()))


def language(code: str) -> str:
    """A language's code as people read it: "und", undetermined, is no language."""
    return "unclear" if code == "und" else code


def score(value: float) -> str:
    """A score as long as it says something: "0.0491", "35,710"."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def csv(table: pd.DataFrame) -> bytes:
    """UTF-8 CSV in which no cell can start a formula; ids keep their letters, so that rows can be joined."""
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]) and not pd.api.types.is_bool_dtype(safe[name]):
            safe[name] = safe[name].map(lambda cell: guard_formula(cell) if isinstance(cell, str) else cell)
    # The mark at the start makes spreadsheets read the file as UTF-8.
    return safe.to_csv(index=False).encode("utf-8-sig")


def parquet(table: pd.DataFrame) -> bytes:
    """Parquet, in which every value is exactly what it was."""
    file = io.BytesIO()
    table.to_parquet(file, index=False)
    return file.getvalue()
