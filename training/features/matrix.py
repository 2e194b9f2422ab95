"""Features of every pictured post of a work folder by name, as the members of a recipe ask for them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from sklearn.model_selection import GroupKFold
from tqdm import tqdm

from engine.encoders import Tokens, load_encoder
from engine.features.extractor import NGRAMS, PICTURE_STATISTICS, SIMILARITY, TEXT_STATISTICS
from engine.features.ngrams import NgramRidge
from engine.features.similarity import Alignment, cosine
from engine.features.statistics import picture_statistics, text_statistics
from engine.images import load_image
from engine.members import Features
from engine.posts import Post
from training.data.workspace import Workspace
from training.features.extract import image_hashes, run_extract, stored_pictures, text_hash
from training.features.store import FeatureStore, FeatureTable, Kind
from training.modeling.batches import PictureMemory

FOLDS = 5
PLAIN = Image.new("RGB", (320, 180), (128, 128, 128))


def post_of(row: pd.Series, image: object = None) -> Post:
    """The post of one row of posts.parquet, with its decoded picture where given."""
    tags = row["tags"] if isinstance(row["tags"], list | tuple | np.ndarray) else ()
    title, description = (row[name] if isinstance(row[name], str) else "" for name in ("title", "description"))
    return Post(title, image, tuple(tags), description, row.get("post_id", ""))  # type: ignore[arg-type]


def compose(posts: pd.DataFrame, fields: Sequence[str]) -> list[str]:
    """What text encoders read of each post, exactly as `Post.text` gives it to them at prediction."""
    return [post_of(row).text(fields) for _, row in posts[["title", "tags", "description"]].iterrows()]


class FeatureMatrix:
    """Named features of n posts in file order, made when first asked for.

    `encoders` maps roles to encoder specs. On training posts the n-gram feature is out of fold, so that a model that
    stacks it sees it as it will be on new posts.
    """

    def __init__(self, workspace: Workspace, encoders: dict[str, str], text_fields: Sequence[str]) -> None:
        self.workspace = workspace
        self.encoders = encoders
        self.text_fields = tuple(text_fields)
        self.texts = compose(workspace.posts, text_fields)
        self.alignment: Alignment | None = None
        self.ngrams: NgramRidge | None = None
        self._features: Features = {}
        self._pictures: dict[tuple[int, int], PictureMemory] = {}

    def features(self, names: Sequence[str]) -> Features:
        """The named features, every array with n rows."""
        return {name: self[name] for name in names}

    def __getitem__(self, name: str) -> npt.NDArray:
        if name not in self._features:
            self._features[name] = self._make(name)
        return self._features[name]

    def _make(self, name: str) -> npt.NDArray:
        if name == TEXT_STATISTICS:
            return text_statistics(self.workspace.posts["title"].tolist())
        if name == PICTURE_STATISTICS:
            return self._picture_statistics()
        if name == NGRAMS:
            return self._ngrams(alpha=3.0)
        if name == SIMILARITY:
            return self._similarity()
        return self._vectors(name)

    def blank(self, name: str) -> npt.NDArray:
        """One row of a feature, (1, …), for a post with nothing on that side: no words, or a plain grey picture."""
        if name == TEXT_STATISTICS:
            return text_statistics([""])
        if name == PICTURE_STATISTICS:
            return picture_statistics([PLAIN])
        if name == NGRAMS:
            return self.ngrams.predict([""]) if self.ngrams else np.zeros(1)
        if name == SIMILARITY:
            return np.zeros(1, dtype=np.float32)
        encoder = load_encoder(self.encoders[name])
        return encoder.encode([""] if encoder.modality == "text" else [PLAIN]).numpy()

    def _picture_statistics(self) -> npt.NDArray[np.float32]:
        path = (
            self.workspace.folder
            / "features"
            / f"{PICTURE_STATISTICS}-{self.workspace.dataset['fingerprint'][:16]}.npy"
        )
        if path.exists():
            return np.load(path)
        with ThreadPoolExecutor(2) as pool:
            pictures = (data for _, data in stored_pictures(self.workspace.folder))
            rows = pool.map(lambda data: picture_statistics([load_image(data)])[0], pictures)
            table = np.stack(list(tqdm(rows, total=len(self.texts), desc="picture statistics")))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp.npy")
        np.save(temporary, table)
        temporary.replace(path)
        return table

    def fit_ngrams(self, alpha: float) -> NgramRidge:
        """The n-gram model of all training posts; makes the `ngrams` feature along the way."""
        self._features[NGRAMS] = self._ngrams(alpha)
        assert self.ngrams is not None
        return self.ngrams

    def _ngrams(self, alpha: float) -> npt.NDArray[np.float64]:
        train = self.workspace.rows("train")
        posts, target = self.workspace.posts, self.workspace.posts["target"].to_numpy()
        texts = np.array(self.texts, dtype=object)
        self.ngrams = NgramRidge.fit(texts[train].tolist(), target[train], alpha=alpha)
        score = self.ngrams.predict(self.texts)
        folds = GroupKFold(FOLDS).split(train, groups=posts["group_number"].to_numpy()[train])
        for rest, held in folds:
            part = NgramRidge.fit(texts[train[rest]].tolist(), target[train[rest]], alpha=alpha)
            score[train[held]] = part.predict(texts[train[held]].tolist())
        return score

    def _vectors(self, role: str) -> npt.NDArray[np.float32]:
        table, hashes = self._extracted(role, "vector")
        return table.get(hashes)

    def tokens(self, role: str) -> Tokens:
        """Token features of every post by one encoder, extracted once; float16."""
        table, hashes = self._extracted(role, "tokens")
        return table.get_tokens(hashes)

    def pictures(self, size: tuple[int, int]) -> PictureMemory:
        """All pictures at one size, (height, width), decoded once."""
        if size not in self._pictures:
            self._pictures[size] = PictureMemory(self.workspace, size)
        return self._pictures[size]

    def _extracted(self, role: str, kind: Kind) -> tuple[FeatureTable, list[str]]:
        """The features of one encoder, complete, and where each post's are in it."""
        encoder = load_encoder(self.encoders[role])
        folder = self.workspace.folder
        run_extract(folder, [self.encoders[role]], kind=kind, compose=partial(compose, fields=self.text_fields))
        table = FeatureStore(folder / "features").table(encoder, kind=kind)
        if encoder.modality == "text":
            return table, [text_hash(text) for text in self.texts]
        return table, [digest or "" for digest in image_hashes(folder)]

    def _similarity(self) -> npt.NDArray[np.float32]:
        image, text = (self[self.role(side)] for side in ("image", "text"))
        spaces = {load_encoder(self.encoders[self.role(side)]).aligned for side in ("image", "text")}
        if len(spaces) == 1 and None not in spaces:
            return cosine(image, text)
        train = self.workspace.rows("train")
        self.alignment = Alignment.fit(image[train], text[train])
        return self.alignment.similarity(image, text)

    def role(self, side: str) -> str:
        """Role of the first encoder of a side."""
        return next(role for role, spec in self.encoders.items() if load_encoder(spec).modality == side)
