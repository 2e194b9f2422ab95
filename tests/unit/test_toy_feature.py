"""A feature is one file: written into a folder beside the others, it trains, ships, predicts, explains and is ablated.

No other line is changed for it, here or in the code.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import engine.features
from engine.bundle import read_bundle
from engine.errors import BundleError
from engine.explain import owen
from engine.features.base import Feature, Values
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor
from tests import made_up
from training.evaluation import variants
from training.evaluation.ablations import ablate
from training.modeling.run import Run
from training.modeling.train import train
from training.recipes.base import CatBoost, Ngrams, Recipe

TOY = '''
"""How many vowels a title has."""

import numpy as np

from engine.features.base import Feature


class Toy(Feature):
    kind = "toy"
    modalities = ("text",)
    columns = ("vowels",)

    def compute(self, posts, upstream):
        return np.array([[sum(post.title.count(vowel) for vowel in "aeiou")] for post in posts], dtype=np.float32)


FEATURE = Toy
'''

# Of both sides, computed from another feature: what decides the engagement of the made-up posts.
GLOW = '''
"""How bright a picture is, and whether its title says “fastest”."""

import numpy as np

from engine.features.base import Feature


class Glow(Feature):
    kind = "toy_glow"
    modalities = ("image", "text")
    columns = ("glow",)

    def __init__(self, name, statistics):
        super().__init__(name)
        self.upstream = (statistics,)

    @classmethod
    def make(cls, name, settings, need):
        return cls(name, need("picture_statistics"))

    @classmethod
    def load(cls, folder, name, config, upstream, device):
        return cls(name, *upstream)

    def compute(self, posts, upstream):
        bright = upstream["picture_statistics"][:, self.upstream[0].columns.index("brightness_mean")]
        fast = np.array(["fastest" in post.title for post in posts])
        return (1.5 * bright + 0.8 * fast).astype(np.float32)[:, None]


FEATURE = Glow
'''
RECIPE = Recipe(
    name="toys",
    summary="Made up.",
    encoders={"picture": "lite0:32x32", "words": "minilm:16"},
    members=(Ngrams(), CatBoost(name="trees", iterations=60, early_stopping=None, learning_rate=0.1, depth=3)),
)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two features more than there are."""
    folder = tmp_path_factory.mktemp("features")
    (folder / "toy.py").write_text(TOY)
    (folder / "toy_glow.py").write_text(GLOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.features, "__path__", [*engine.features.__path__, str(folder)])
        importlib.invalidate_caches()
        yield
        for name in ("toy", "toy_glow"):
            sys.modules.pop(f"engine.features.{name}", None)
            patch.delattr(engine.features, name, raising=False)
        patch.undo()
        for name in ("toy", "toy_glow"):
            vars(engine.features).pop(name, None)


@pytest.fixture(scope="module")
def trained(toys: None, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    work = made_up.make_work(tmp_path_factory.mktemp("toys"))
    bundle = train(work, RECIPE)
    posts = pd.read_parquet(work / "posts.parquet")
    drafts = [Post(row["title"], load_image(row["image"]), post_id=row["post_id"]) for _, row in posts[:6].iterrows()]
    return SimpleNamespace(work=work, bundle=bundle, predictor=Predictor.load(bundle, device="cpu"), drafts=drafts)


def test_members_that_name_no_features_take_it(trained: SimpleNamespace) -> None:
    trees = trained.predictor.members[1]
    assert trees.reads == {
        "text": ("ngrams", "text_statistics", "toy"),
        "image": ("picture_statistics",),
        "both": ("ngrams", "text_statistics", "toy", "picture_statistics", "toy_glow"),
    }
    assert trees.models["both"][1].get_feature_importance()[-1] > 5


def test_it_ships_with_its_identity(trained: SimpleNamespace) -> None:
    entries = {entry.name: entry for entry in read_bundle(trained.bundle).features}
    assert entries["toy"].kind == "toy" and entries["toy_glow"].upstream == ("picture_statistics",)
    made = engine.features.make_features(["toy_glow"], RECIPE.features)
    assert entries["toy_glow"].fingerprint == made["toy_glow"].fingerprint


def test_it_predicts(trained: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, drafts = trained.predictor, trained.drafts
    features = predictor.extractor.compute(drafts, "both")
    stored = Run(trained.work, RECIPE).matrix
    for name in ("toy", "toy_glow"):
        np.testing.assert_allclose(features[name], stored[name][: len(drafts)], atol=1e-6)
    before = predictor.predict(drafts)
    glow = predictor.extractor.features["toy_glow"]
    monkeypatch.setattr(type(glow), "compute", lambda self, posts, upstream: np.full((len(posts), 1), 9, np.float32))
    assert predictor.predict(drafts) != before
    # A post with one side is answered without what needs both.
    one_sided = [Post(title=drafts[0].title), Post(image=drafts[0].image)]
    assert [found.view for found in predictor.predict(one_sided)] == ["text", "image"]


def test_it_takes_part_in_shapley_values(trained: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    post = next(post for post in trained.drafts if "fastest" in post.title)
    explanation = owen.explain(trained.predictor, post)
    assert explanation.completeness_error < 1e-6
    seen = []

    def zero(self: Feature, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        seen.extend((post.title, float(upstream["picture_statistics"][row, 0])) for row, post in enumerate(posts))
        return np.zeros((len(posts), 1), dtype=np.float32)

    monkeypatch.setattr(type(trained.predictor.extractor.features["toy_glow"]), "compute", zero)
    without = owen.explain(trained.predictor, post)
    assert abs(explanation.value - without.value) > 0.01
    # Of every coalition of pictures and titles.
    assert len(seen) == without.evaluations and len(set(seen)) > without.image_passes


def test_it_has_its_rows_among_the_ablations(trained: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "TREES", replace(variants.TREES, iterations=20))
    monkeypatch.setattr(variants, "COMPONENTS", 3)
    report = ablate(trained.work, RECIPE, seeds=1, families=("feature",), resamples=20)
    tables = [pd.read_parquet(report / f"{name}.parquet") for name in ("ablations", "comparisons")]
    for table in tables:
        assert {"without toy", "without toy glow", "without ngrams"} <= set(table["ablation"])
    src = tables[0].query("metric == 'src' and split == 'test'").set_index("ablation")
    assert src.at["without toy glow", "value"] != src.at["without toy glow", "reference_value"]


def test_a_version_that_lacks_it_refuses_the_bundle(trained: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.features, "__path__", engine.features.__path__[:1])
    with pytest.raises(BundleError, match=r"reads the feature toy, which this version lacks; update it"):
        Predictor.load(trained.bundle, device="cpu")


def test_another_version_of_it_refuses_the_bundle(trained: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(trained.predictor.extractor.features["toy"]), "version", 2)
    with pytest.raises(BundleError, match=r"Here the feature toy is not the one that the bundle was made with"):
        Predictor.load(trained.bundle, device="cpu")
