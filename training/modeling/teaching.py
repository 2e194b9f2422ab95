"""What teachers say of the training posts, for another network to learn from: each post out of fold.

Of the posts that a network learned from it says what it learned by heart, their luck too. So every teacher is trained
as often as there are folds, and answers the posts of the one that it did not see. A linear regression of the target on
the teachers' scores makes one of them, a multinomial logistic one shares of the levels; so weak a fit needs no folds.
"""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
from scipy.special import softmax
from sklearn.linear_model import LinearRegression

from engine.encoders import load_encoder
from engine.errors import DataError
from engine.features.base import digest
from engine.scoring import LEVELS
from training.data.splits import stratified_folds
from training.features.matrix import FeatureMatrix
from training.modeling.further import Further
from training.modeling.network import NetworkConfig, level_fit, predict_rows
from training.modeling.networks import train_replicates
from training.modeling.processes import own_process
from training.modeling.training_set import SoftTargets, rounded
from training.recipes.base import Network, Teacher
from training.tables import claim, write_table

log = structlog.get_logger()
FOLDS, SEED = 3, 1
ANSWERS = "answers.parquet"
HELD = "validation"


def soft_targets(spec: Network, matrix: FeatureMatrix, folder: Path) -> SoftTargets | None:
    """What the teachers of `spec` say of every training post, NaN elsewhere; None where it has none.

    A fold that a teacher has answered is kept in `folder`/<teacher>/<fold> and not trained again; one that was stopped
    goes on there. Raises DataError for a network that chooses its epoch.
    """
    if not spec.teachers:
        return None
    if spec.settings.get("patience", NetworkConfig.patience):
        raise DataError(
            f"The teachers of {spec.name} learn from the posts that would choose its epoch; set patience to 0."
        )
    workspace = matrix.workspace
    rows, posts = workspace.rows("train"), workspace.posts
    level, target, groups = (posts[name].to_numpy()[rows] for name in ("level", "target", "group_number"))
    folds = stratified_folds(level, groups, FOLDS, SEED)
    answers = [_answers(teacher, matrix, rows, folds, folder / teacher.name) for teacher in spec.teachers]
    scores = np.column_stack([table["score"] for table in answers])
    seconds = sum(float(table.groupby("fold")["seconds"].first().sum()) for table in answers)
    targets, shares = np.full(len(posts), np.nan), np.full((len(posts), len(LEVELS)), np.nan)
    targets[rows] = LinearRegression().fit(scores, target).predict(scores)
    slopes, offsets = level_fit(scores, level)
    shares[rows] = softmax(scores @ slopes.T + offsets, axis=1)
    return SoftTargets(targets, shares, spec.taught, digest(scores.tolist()), seconds)


def _answers(
    teacher: Teacher, matrix: FeatureMatrix, rows: npt.NDArray[np.int64], folds: npt.NDArray[np.int64], folder: Path
) -> pd.DataFrame:
    """A teacher's score of each post of `rows`, whose `folds` these are, and the seconds that its fold took."""
    identity = load_encoder(teacher.encoder, device="cpu", shared=False).identity
    settings = replace(matrix.settings, encoders={teacher.name: teacher.encoder})
    post_ids = matrix.workspace.posts["post_id"].to_numpy()
    tables = []
    for fold in range(FOLDS):
        parts = pd.Series("elsewhere", index=post_ids)
        parts[post_ids[rows]] = np.where(folds == fold, HELD, "train")
        inner = FeatureMatrix(matrix.workspace.parted(parts), settings, matrix.junk)
        tables.append(_fold(teacher, inner, folder / str(fold), identity).assign(fold=fold))
    return pd.concat(tables).set_index("post_id").loc[post_ids[rows]]


def _fold(teacher: Teacher, matrix: FeatureMatrix, folder: Path, identity: str) -> pd.DataFrame:
    """Its scores of the posts held out, from training on the training posts or from the file that keeps them."""
    workspace = matrix.workspace
    further = Further.of(workspace) if teacher.pictures else None
    targets, levels = workspace.posts["target"].to_numpy(), workspace.posts["level"].tolist()
    made_from = {
        "teacher": asdict(teacher),
        "encoder": identity,
        "dataset": workspace.dataset["fingerprint"],
        "texts": matrix.settings.text_fields,
        "split": workspace.split_digest,
        "target": digest([rounded(targets), levels]),
        "junk": matrix.junk,
        "pictures": further.fingerprint if further else "",
    }
    path = folder / ANSWERS
    if own_process().is_main_process:
        claim(folder, made_from, "a teacher")
    if not path.exists():
        trained = train_replicates(_network(teacher), matrix, folder / "network", (HELD,))
        # Not what it said of the posts that chose its epoch, if any did.
        score = predict_rows(trained.model, trained.parts[HELD])[teacher.side]["score"].astype(np.float64)
        # Every process has read the weights before the first removes them.
        own_process().wait_for_everyone()
        if own_process().is_main_process:
            table = workspace.posts.iloc[workspace.rows(HELD)][["post_id"]]
            write_table(path, table.assign(score=score, seconds=trained.results[0].seconds))
            log.info("teacher", name=teacher.name, posts=len(table))
    if own_process().is_main_process:
        # What it said is kept, its weights are not.
        shutil.rmtree(folder / "network", ignore_errors=True)
    own_process().wait_for_everyone()
    return pd.read_parquet(path)


def _network(teacher: Teacher) -> Network:
    """A teacher as a network whose encoder's role is its name."""
    return Network(
        name=teacher.name,
        image_encoder=teacher.name if teacher.side == "image" else None,
        text_encoder=teacher.name if teacher.side == "text" else None,
        settings=teacher.settings,
        shape=teacher.shape,
        pictures=teacher.pictures,
    )
