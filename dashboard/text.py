"""Making foreign text harmless: in HTML, in Markdown, and in CSV files that a spreadsheet opens."""

import re

import pandas as pd

MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&^])")


def markdown(value: object) -> str:
    """Text that Streamlit's Markdown shows letter by letter."""
    return MARKDOWN.sub(r"\\\1", " ".join(str(value).split()))


def csv(table: pd.DataFrame) -> bytes:
    """UTF-8 CSV in which no cell can start a formula: such text gets a leading apostrophe."""
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]) and not pd.api.types.is_bool_dtype(safe[name]):
            safe[name] = safe[name].map(_no_formula)
    # The mark at the start makes spreadsheets read the file as UTF-8.
    return safe.to_csv(index=False).encode("utf-8-sig")


def _no_formula(cell: object) -> object:
    if isinstance(cell, str) and cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")):
        return "'" + cell
    return cell
