"""What the environment says, and does not say."""

import pytest

import dashboard.reports
import engine.settings

NAMES = ("BUNDLE", "MODELS", "CACHE", "REPORT", "DATA")


def test_a_variable_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"FIRST_IMPRESSIONS_{name}", raising=False)
    unset = engine.settings.Settings(), dashboard.reports.Settings()
    for name in NAMES:
        monkeypatch.setenv(f"FIRST_IMPRESSIONS_{name}", "")
    assert (engine.settings.Settings(), dashboard.reports.Settings()) == unset
    # By which the page knows whether there are models to choose among.
    assert "bundle" not in engine.settings.Settings().model_fields_set
