"""Being written."""

from dashboard.reports import Report

TITLE = "errors"
URL = "errors"
ICON = ":material/help:"
QUESTION = "?"
NEEDS = ("nothing",)


def render(report: Report) -> None: ...
