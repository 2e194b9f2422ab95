"""Every figure is defined and has a direction; what nobody knows is neither praised nor ranked."""

import pandas as pd
import pytest

from dashboard.metrics import CATALOGUE, EDGE, bracketed, metric, ranked, verdict
from dashboard.tiles import verdict_line
from training.evaluation import gains
from training.metrics.weighted import METRICS


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_of_a_report_has_a_definition_and_a_direction(name: str) -> None:
    what = CATALOGUE[name]
    assert what.meaning and (what.nominal is not None) == (what.better is None)
    assert what.direction in ("Higher is better", "Lower is better") or what.direction.startswith("Should be close to")


def test_calibration_errors_are_better_when_low() -> None:
    assert CATALOGUE["ece"].better == CATALOGUE["classwise_ece"].better == "lower"
    assert CATALOGUE["pairwise_accuracy_within_group"].better == "higher"


def test_an_unknown_metric_has_no_direction_and_no_rank() -> None:
    what = metric("made_up")
    assert what.better is None and what.direction == "" and "better" not in what.definition + what.title
    table = pd.DataFrame({"value": [2.0, 3.0, 1.0]})
    assert ranked(table, what)["value"].tolist() == [2.0, 3.0, 1.0]
    assert verdict("made_up", 0.1, 0.2) == "higher" and verdict("made_up", -0.2, -0.1) == "lower"


def test_a_figure_without_an_interval_has_no_brackets() -> None:
    assert bracketed({"value": 0.5, "low": 0.4, "high": 0.6}) == "0.500 [0.400 to 0.600]"
    assert bracketed({"value": 0.5, "low": -0.1, "high": 0.6}, "+.1f") == "+0.5 [-0.1 to +0.6]"
    assert bracketed({"value": 0.5, "low": float("nan"), "high": None}) == "0.500"


def test_the_best_stands_first() -> None:
    table = pd.DataFrame({"value": [0.85, 0.99, 0.91]})
    assert ranked(table, metric("accuracy"))["value"].tolist() == [0.99, 0.91, 0.85]
    assert ranked(table, metric("ece"))["value"].tolist() == [0.85, 0.91, 0.99]
    assert ranked(table, metric("conformal_coverage"))["value"].tolist() == [0.91, 0.85, 0.99]


@pytest.mark.parametrize(
    ("name", "low", "high", "expected"),
    [
        ("src", 0.05, 0.15, "better"),
        ("src", -0.15, -0.05, "worse"),
        ("class_mae", -0.15, -0.05, "better"),
        ("ece", 0.05, 0.15, "worse"),
        ("src", -0.01, 0.2, "no clear difference"),
        ("src", 0.0, 0.2, "no clear difference"),
        ("src", float("nan"), float("nan"), "not tested"),
        ("src", 0.001, 0.027, "better, but hardly shown"),
        ("src", -0.3, -0.001, "worse, but hardly shown"),
        ("ece", 0.001, 0.03, "worse, but hardly shown"),
        ("conformal_coverage", 0.05, 0.2, "higher"),
        ("conformal_coverage", -0.2, -0.05, "lower"),
        ("conformal_coverage", 0.001, 0.2, "higher, but hardly shown"),
    ],
)
def test_verdicts(name: str, low: float, high: float, expected: str) -> None:
    assert verdict(name, low, high) == expected
    assert expected in verdict_line(metric(name), low, high)
    assert gains.EDGE == EDGE
