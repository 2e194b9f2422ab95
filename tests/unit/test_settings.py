"""What the environment says, and does not say."""

from pathlib import Path

import pytest

import dashboard.reports
import engine.settings
from engine.addresses import Address

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


@pytest.mark.parametrize(
    ("named", "place"),
    [
        ("hf://me/bundle", Address("hf://me/bundle")),
        ("s3://models/2026?signature=a", Address("s3://models/2026?signature=a")),
        ("file:///models/bundle", Path("/models/bundle")),
        ("models/bundle", Path("models/bundle")),
        ("2026", Path("2026")),
    ],
)
def test_a_bundle_may_be_named_by_its_address(named: str, place: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_IMPRESSIONS_BUNDLE", named)
    assert engine.settings.Settings().bundle == place
