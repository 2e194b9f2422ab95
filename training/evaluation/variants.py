"""What an ablation fits: trees or a torch head on groups of features, and fusions on frozen tokens, all affordable.

Every variant answers for validation and test posts and is then calibrated by the same lines as any other model.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.decomposition import PCA
from torch.nn import functional

from engine.encoders import load_encoder
from engine.features.extractor import NGRAMS, PICTURE_STATISTICS, SIMILARITY, TEXT_STATISTICS
from engine.fusion import FusionConfig, FusionKind, Head, level_loss
from engine.members import CatBoostMember, MemberOutput
from training.features.matrix import FeatureMatrix
from training.modeling.batches import frozen_examples
from training.modeling.members import fit_trees
from training.modeling.network import JointNetwork, NetworkConfig, predict_rows
from training.modeling.trainer import train_network
from training.recipes.base import CatBoost
from training.tables import COUNTS

# A few large steps instead of many small ones: a variant costs seconds, and all are fitted alike.
TREES = CatBoost(iterations=200, depth=4, learning_rate=0.08, early_stopping=None)
COMPONENTS = 48
TITLE, PICTURE = "title vectors", "picture vectors"
# Groups of features by the side that they are read off.
TEXT_GROUPS = (TEXT_STATISTICS, NGRAMS, TITLE)
IMAGE_GROUPS = (PICTURE_STATISTICS, PICTURE)
GROUPS = (*TEXT_GROUPS, *IMAGE_GROUPS, SIMILARITY)

Table = npt.NDArray[np.float32]


class Variants:
    """Fits on one work folder; every method returns answers by split for one seed.

    Vectors of the recipe's encoders, frozen, are reduced to `COMPONENTS` principal components of the training posts.
    """

    def __init__(self, matrix: FeatureMatrix) -> None:
        self.matrix = matrix
        self.workspace = matrix.workspace
        self.posts = matrix.workspace.posts
        self.rows = {split: matrix.workspace.rows(split) for split in ("train", "validation", "test")}
        self._groups: dict[str, Table] = {}

    def group(self, name: str) -> Table:
        """Features of one group, (n, columns)."""
        if name not in self._groups:
            if name in (TITLE, PICTURE):
                values = self._reduced(self.matrix[self.matrix.role("text" if name == TITLE else "image")])
            else:
                values = self.matrix[name]
            self._groups[name] = np.asarray(values, dtype=np.float32).reshape(len(self.posts), -1)
        return self._groups[name]

    def _reduced(self, vectors: npt.NDArray) -> npt.NDArray:
        train = vectors[self.rows["train"]]
        wanted = min(COMPONENTS, *train.shape)
        return PCA(wanted, svd_solver="randomized", random_state=0).fit(train).transform(vectors)

    def table(self, groups: Sequence[str]) -> Table:
        """Groups side by side."""
        return np.concatenate([self.group(name) for name in groups], axis=1)

    def shuffled(self, groups: Sequence[str], seed: int) -> Table:
        """All groups, those named with their rows exchanged between posts of the same split."""
        order = np.arange(len(self.posts))
        for number, rows in enumerate(self.rows.values()):
            order[rows] = np.random.default_rng([seed, number]).permutation(rows)
        kept = {name: self.group(name)[order] if name in groups else self.group(name) for name in GROUPS}
        return np.concatenate(list(kept.values()), axis=1)

    def leaked(self) -> Table:
        """All groups, and what is known only after publication: log counts, and reactions per view.

        The label is made of those: this is what a leak looks like, not a result.
        """
        columns = [name for name in COUNTS if self.posts[name].notna().any()]
        counts = self.posts[columns].to_numpy(dtype=np.float32, na_value=np.nan)
        rates = counts[:, 1:] / np.maximum(counts[:, :1], 1)
        return np.concatenate([self.table(GROUPS), np.log1p(counts), rates], axis=1)

    def _labels(self, split: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        rows = self.rows[split]
        return self.posts["level"].to_numpy()[rows], self.posts["target"].to_numpy()[rows]

    def trees(self, table: Table, seed: int, *, shuffle_labels: bool = False) -> dict[str, MemberOutput]:
        """CatBoost on a table (n, columns)."""
        level, target = self._labels("train")
        if shuffle_labels:
            order = np.random.default_rng(seed).permutation(len(level))
            level, target = level[order], target[order]
        train = self.rows["train"]
        groups = self.posts["group_number"].to_numpy()[train]
        models = fit_trees(replace(TREES, seed=seed), table[train], level, target, groups)
        head = CatBoostMember("trees", {"both": ("table",)}, {"both": models})
        return {split: head.answer("both", {"table": table[self.rows[split]]}) for split in ("validation", "test")}

    def torch_head(self, table: Table, seed: int, *, epochs: int = 15, batch: int = 128) -> dict[str, MemberOutput]:
        """The networks' own head on a table, standardised on the training posts."""
        train = self.rows["train"]
        mean, spread = table[train].mean(axis=0), table[train].std(axis=0)
        inputs = torch.from_numpy(((table - mean) / np.where(spread > 0, spread, 1)).astype(np.float32))
        level, target = (torch.from_numpy(values) for values in self._labels("train"))
        torch.manual_seed(seed)
        head = Head(table.shape[1], 128, 0.3)
        optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.01)
        steps = epochs * -(-len(train) // batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(epochs):
            for rows in torch.randperm(len(train)).split(batch):
                output = head(inputs[train[rows]])
                loss = level_loss(output.logits, level[rows])
                loss = loss + 0.5 * functional.huber_loss(output.score, target[rows].float())
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        with torch.inference_mode():
            outputs = {split: head.eval()(inputs[self.rows[split]]) for split in ("validation", "test")}
        return {
            split: MemberOutput(output.logits.softmax(-1).double().numpy(), output.score.double().numpy())
            for split, output in outputs.items()
        }

    @cached_property
    def _tokens(self) -> tuple:
        return tuple(self.matrix.tokens(self.matrix.role(side)) for side in ("image", "text"))

    def fusion(self, kind: FusionKind, seed: int, folder: Path, *, epochs: int = 4) -> dict[str, MemberOutput]:
        """A fusion network on the frozen tokens of both towers, trained (and resumed) in `folder`."""
        image, text = self._tokens
        dims = [load_encoder(self.matrix.encoders[self.matrix.role(side)]).token_dim for side in ("image", "text")]
        config = NetworkConfig(
            fusion=FusionConfig(dims[0], dims[1], kind=kind, width=128),
            towers="frozen",
            epochs=epochs,
            batch_size=min(64, max(1, len(self.rows["train"]) // 2)),
            patience=2,
            seed=seed,
        )
        data = {split: frozen_examples(self.posts, rows, image, text) for split, rows in self.rows.items()}
        model = JointNetwork(config)
        train_network(model, config, data["train"], data["validation"], folder)
        outputs = {split: predict_rows(model, data[split])["both"] for split in ("validation", "test")}
        return {
            split: MemberOutput(found["probabilities"].astype(np.float64), found["score"].astype(np.float64))
            for split, found in outputs.items()
        }
