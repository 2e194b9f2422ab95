"""Training by several processes of `accelerate launch`: what one process comes to, whoever began it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from engine.errors import DataError
from tests.unit.test_training_loop import CONFIG, FILES, FUSION, Killed, data_of, dying, run
from training.modeling import trainer
from training.modeling.network import JointNetwork
from training.modeling.trainer import train_network

# Without chance in a step, which each process draws for itself; a checkpoint after every step.
EXACT = replace(CONFIG, fusion=replace(FUSION, dropout=0.0), epochs=2, checkpoint_minutes=0.0)
# Sums of float32 come in another order.
TOLERANCE = 1e-6
# Added to every place before a softmax, so its gradient is rounding alone, of which AdamW makes whole steps.
WITHOUT_EFFECT = "_pool.query.bias"
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]

KILLED = """
import sys
from pathlib import Path
from tests.unit.test_processes import EXACT, data_of, dying, run
from training.modeling.processes import own_process
assert own_process().num_processes == 2
train, validation = data_of()
run(Path(sys.argv[1]), EXACT, (dying(train, 17), validation))
"""


def step_of(folder: Path) -> int:
    """How far the training had come that left a checkpoint."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu")["state"]
    return int(json.loads(state)["step"])


@pytest.mark.slow
def test_one_process_and_two_go_on_with_each_others_training(tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    run(alone, EXACT)
    train, validation = data_of()
    with pytest.raises(Killed):
        run(shared, EXACT, (dying(train, 10), validation))
    assert step_of(shared) == 10
    (tmp_path / "killed.py").write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    environment |= {"CUDA_VISIBLE_DEVICES": ""}
    arguments = [*LAUNCH, str(tmp_path / "killed.py"), str(shared)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300)
    assert "test_training_loop.Killed" in done.stderr and step_of(shared) == 27, done.stderr[-2000:]
    run(shared, EXACT)
    assert {path.name for path in shared.iterdir()} == set(FILES)
    weights, expected = (load_file(folder / "best.safetensors") for folder in (shared, alone))
    assert set(weights) == set(expected)
    for name in filter(lambda name: not name.endswith(WITHOUT_EFFECT), weights):
        torch.testing.assert_close(weights[name], expected[name], rtol=0, atol=TOLERANCE)
    curves, known = (pd.read_parquet(folder / "curves.parquet").drop(columns="seconds") for folder in (shared, alone))
    pd.testing.assert_frame_equal(curves, known, rtol=0, atol=TOLERANCE)


def test_shares_of_a_batch_add_up_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of unequal size: the mean of the processes' gradients is that of the whole batch."""
    train, _ = data_of()
    batch = torch.arange(16).numpy()

    def gradients(number: int, of: int) -> dict[str, torch.Tensor]:
        training = trainer._Training(JointNetwork(EXACT), EXACT, tmp_path, 20)
        monkeypatch.setattr(type(training.accelerator), "process_index", number)
        monkeypatch.setattr(type(training.accelerator), "num_processes", of)
        monkeypatch.setattr(training.accelerator, "clip_grad_norm_", lambda *_: None)
        training.learn(train, batch)
        return {name: value.grad for name, value in training.parameters.items() if value.grad is not None}

    whole, parts = gradients(0, 1), [gradients(number, 3) for number in range(3)]
    for name, value in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts) / 3, value, rtol=1e-4, atol=1e-6)


def test_more_processes_than_posts_in_a_batch_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.Accelerator, "num_processes", EXACT.batch_size + 1)
    with pytest.raises(DataError, match="start at most as many"):
        train_network(JointNetwork(EXACT), EXACT, *data_of(), tmp_path)
    assert list(tmp_path.iterdir()) == []
