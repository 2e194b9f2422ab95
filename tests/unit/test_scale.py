"""The benchmark of scale measures what the program does, on posts that resemble one another."""

import pytest

from benchmarks import scale
from training.data.grouping import bind_posts


def test_made_up_posts_are_bound_in_each_way() -> None:
    posts = scale.made_up_posts(2000)
    alone = posts.assign(title="", group=None, phash=None)
    assert len(set(bind_posts(alone))) == 2000
    for column in ("title", "group", "phash"):
        assert 20 < len(set(bind_posts(alone.assign(**{column: posts[column]})))) < 2000


@pytest.mark.slow
@pytest.mark.parametrize("step", scale.STEPS)
def test_every_step_is_measured(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "TITLES", 32)
    found = scale.measure(step, 200)
    assert found["seconds"] > 0 and found["clock"] > 0 and found["memory"] > 0.05
