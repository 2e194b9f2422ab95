"""Boosted trees on what tells nothing."""

import numpy as np
import pytest

from engine.errors import DataError
from training.modeling.trees import fit_trees
from training.recipes.base import CatBoost


def test_columns_that_are_the_same_for_every_post_are_one_sentence() -> None:
    """As those of titles are, where no post has one."""
    spec = CatBoost(name="words", iterations=2, depth=2, early_stopping=None)
    numbers = np.arange(20)
    with pytest.raises(DataError, match="What the member words reads is the same for every post; leave"):
        fit_trees(spec, np.zeros((20, 3), dtype=np.float32), numbers % 5, numbers / 20, numbers)
