"""What an ablation fits: trees or a torch head on features, and fusions on frozen tokens, all affordable.

Every variant answers for validation and test posts and is then calibrated by the same lines as any other model.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.decomposition import PCA
from torch.nn import functional

from engine.encoders import load_encoder
from engine.encoders.base import Modality
from engine.features import default_names
from engine.features.encoder_tokens import TOKENS
from engine.features.encoder_vector import EncoderVector
from engine.fusion import FusionConfig, FusionKind, Head, level_loss
from engine.members import CatBoostMember
from engine.prediction import MemberOutput
from training.features.matrix import FeatureMatrix
from training.modeling.batches import frozen_set
from training.modeling.choosing import learning_and_choosing
from training.modeling.network import JointNetwork, NetworkConfig, predict_rows
from training.modeling.networks import outputs_by_view
from training.modeling.trainer import train_network
from training.modeling.trees import fit_trees
from training.recipes.base import CatBoost
from training.tables import COUNTS

# A few large steps instead of many small ones: a variant costs seconds, and all are fitted alike.
TREES = CatBoost(iterations=200, depth=4, learning_rate=0.08, early_stopping=None)
COMPONENTS = 48
HEAD_EPOCHS, HEAD_BATCH, FUSION_EPOCHS = 15, 128, 4
SIMILARITY = "similarity"
Table = npt.NDArray[np.float32]


class Variants:
    """Fits on one work folder; every method returns outputs by split for one seed.

    The features are those that a member takes which names none, the vectors of the encoders of `roles`, frozen, reduced
    to `COMPONENTS` principal components of the training posts, their similarity, and those `named` beside; one that
    says nothing of any training post, as of a context that the dataset lacks, is left out.
    """

    def __init__(self, matrix: FeatureMatrix, roles: Iterable[str], named: Iterable[str] = ()) -> None:
        self.matrix = matrix
        self.workspace = matrix.workspace
        self.posts = matrix.workspace.posts
        self.rows = {split: matrix.workspace.rows(split) for split in ("train", "validation", "test")}
        names = dict.fromkeys((*default_names(), *roles, SIMILARITY, *named))
        self.names = tuple(name for name in names if not np.isnan(matrix[name][self.rows["train"]]).all())
        self._columns: dict[str, Table] = {}

    def label(self, name: str) -> str:
        """What a feature is called in the report."""
        return f"{name} vectors" if isinstance(self.matrix.feature(name), EncoderVector) else name.replace("_", " ")

    def reading(self, side: Modality) -> list[str]:
        """Features that read a side of a post."""
        return [name for name in self.names if side in self.matrix.feature(name).modalities]

    def columns(self, name: str) -> Table:
        """One feature, (n, columns)."""
        if name not in self._columns:
            values = self.matrix[name]
            if name in self.matrix.settings.encoders:
                train = values[self.rows["train"]]
                fit = PCA(min(COMPONENTS, *train.shape), svd_solver="randomized", random_state=0).fit(train)
                values = fit.transform(values).astype(np.float32)
            self._columns[name] = values
        return self._columns[name]

    def table(self, without: Iterable[str] = ()) -> Table:
        """All features side by side but some."""
        gone = set(without)
        return np.concatenate([self.columns(name) for name in self.names if name not in gone], axis=1)

    def shuffled(self, names: Iterable[str], seed: int) -> Table:
        """All features, those named with their rows exchanged between posts of the same split."""
        order = np.arange(len(self.posts))
        for number, rows in enumerate(self.rows.values()):
            order[rows] = np.random.default_rng([seed, number]).permutation(rows)
        mixed = set(names)
        return np.concatenate(
            [self.columns(name)[order] if name in mixed else self.columns(name) for name in self.names], axis=1
        )

    def leaked(self) -> Table:
        """All features, and what is known only after publication: log counts, and reactions per view.

        The label is made of those: this is what a leak looks like, not a result.
        """
        columns = [name for name in COUNTS if self.posts[name].notna().any()]
        counts = self.posts[columns].to_numpy(dtype=np.float32, na_value=np.nan)
        rates = counts[:, 1:] / np.maximum(counts[:, :1], 1)
        return np.concatenate([self.table(), np.log1p(counts), rates], axis=1)

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
        member = CatBoostMember("trees", {"both": ("table",)}, {"both": models})
        return {split: member.predict("both", {"table": table[self.rows[split]]}) for split in ("validation", "test")}

    def torch_head(self, table: Table, seed: int) -> dict[str, MemberOutput]:
        """The networks' own head on a table, standardised on the training posts; what is unknown is the mean."""
        train = self.rows["train"]
        known = np.maximum((~np.isnan(table[train])).sum(axis=0), 1)
        mean = np.nansum(table[train], axis=0) / known
        spread = np.sqrt(np.nansum((table[train] - mean) ** 2, axis=0) / known)
        inputs = torch.from_numpy(np.nan_to_num((table - mean) / np.where(spread > 0, spread, 1)).astype(np.float32))
        level, target = (torch.from_numpy(values) for values in self._labels("train"))
        torch.manual_seed(seed)
        head = Head(table.shape[1], 128, 0.3)
        optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.01)
        steps = HEAD_EPOCHS * -(-len(train) // HEAD_BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(HEAD_EPOCHS):
            for rows in torch.randperm(len(train)).split(HEAD_BATCH):
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

    def fusion(self, kind: FusionKind, seed: int, folder: Path) -> dict[str, MemberOutput]:
        """A fusion network on the frozen tokens of both encoders, trained (and resumed) in `folder`."""
        roles = [self.matrix.role(side) for side in ("image", "text")]
        dims = [load_encoder(self.matrix.settings.encoders[role]).token_dim for role in roles]
        config = NetworkConfig(
            fusion=FusionConfig(dims[0], dims[1], kind=kind, width=128),
            tuning="frozen",
            epochs=FUSION_EPOCHS,
            batch_size=min(64, max(1, len(self.rows["train"]) // 2)),
            patience=2,
            seed=seed,
        )
        learning, choosing = learning_and_choosing(self.workspace)
        parts = self.rows | {"learning": learning, "choosing": choosing}
        image, text = (role + TOKENS for role in roles)
        data = {part: frozen_set(self.matrix, rows, image, text) for part, rows in parts.items()}
        model = JointNetwork(config)
        train_network(model, config, data["learning"], data["choosing"], folder)
        return {split: outputs_by_view(predict_rows(model, data[split]))["both"] for split in ("validation", "test")}
