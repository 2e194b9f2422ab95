"""`python -m engine` and `python -m training`: arguments, exit codes, signals, a full disk, a folder not one's own."""

import errno
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import pytest

from engine.commands import outcome
from engine.files import replacing
from tests.batch_files import lines, read

ROOT = Path(__file__).parents[2]

# The command line with the fake predictor in place of the real one; a number after "slow" is its pause per batch.
COMMAND = """
import signal, sys, time, types
# A job that a shell started in the background ignores it, and so do those that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.fake_predictor import FakePredictor
class Predictor(FakePredictor):
    def predict(self, posts):
        time.sleep(float(PAUSE))
        return super().predict(posts)
module = types.ModuleType("engine.predictor")
module.Predictor = Predictor
sys.modules["engine.predictor"] = module
from engine.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def run(*arguments: object, pause: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"PAUSE = {pause}\n{COMMAND}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, engine.__main__ as command\n"
        "try: command.main(['score', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pyarrow', 'PIL', 'numpy', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--images-root" in done.stdout


def test_command_line_scores_and_sums_up(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "title", "a", '""', "b")
    process = run("score", source, "-o", tmp_path / "out.csv", "--batch-size", 2)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and said.strip().endswith("2 scored, 1 with errors") and "posts/s" in said
    assert len(read(tmp_path / "out.csv")) == 3
    assert (tmp_path / "out.csv").stat().st_mode & 0o777 == source.stat().st_mode & 0o777


def test_the_local_engine_needs_no_ray(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.__main__ import main

    source = lines(tmp_path / "in.csv", "title", "a")
    arguments = ["score", str(source), "-o", str(tmp_path / "out.csv")]
    code = COMMAND.replace("sys.exit(main(sys.argv[1:]))", "sys.exit(main(sys.argv[1:]) or 'ray' in sys.modules)")
    command = [sys.executable, "-c", f"PAUSE = 0\n{code}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.csv").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ray", None)
        assert main([*arguments, "--engine", "ray"]) == 2
    assert main([*arguments, "--ray-address", "head:6379"]) == 2
    missing, alone = capsys.readouterr().err.strip().splitlines()
    assert "requirements-ray.txt" in missing and "needs --engine ray" in alone
    assert os.listdir(tmp_path) == ["in.csv"]


def test_who_reads_what_is_said_may_go_away(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "title", *"abc")
    process = run("score", source, "-o", tmp_path / "out.csv", "--batch-size", 1, pause=0.6)
    assert process.stderr is not None and process.stdout is not None
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert len(read(tmp_path / "out.csv")) == 3


def test_what_is_printed_to_nobody_costs_no_step() -> None:
    code = (
        "import sys; from engine.commands import outcome\n"
        "def work():\n for _ in range(1000): print('x' * 1000)\n open(sys.argv[1], 'w').close()\n"
        "sys.exit(outcome(work))"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = Path(folder, "done")
        command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {done}; echo $? >&2"
        said = subprocess.run(["sh", "-c", f"({command}) | head -1"], cwd=ROOT, capture_output=True, text=True)
        assert said.stderr == "0\n" and len(said.stdout) == 1001 and done.exists()


def test_a_missing_package_is_one_sentence_and_a_missing_module_of_ours_a_fault(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert outcome(lambda: import_module("some_package.part")) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "lacks the package some_package; run this with .venv/bin/python" in said
    with pytest.raises(ModuleNotFoundError):
        outcome(lambda: import_module("engine.nothing"))


def test_command_line_refuses_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.__main__ import main

    source = lines(tmp_path / "in.csv", "name", "a")
    before = signal.getsignal(signal.SIGTERM)
    assert main(["score", str(source), "-o", str(tmp_path / "out.csv")]) == 2
    assert main(["score", str(tmp_path / "none.csv"), "-o", str(tmp_path / "out.csv")]) == 2
    assert main(["score", str(tmp_path / f"{'long' * 99}.csv"), "-o", str(tmp_path / "out.csv")]) == 2
    titles = lines(tmp_path / "titles.csv", "title", "a")
    for command in ("score", "features"):
        # Before the model is loaded.
        arguments = [command, str(titles), "-o", str(tmp_path / "out.csv"), "--images-root", str(tmp_path / "nope")]
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "engine.predictor", None)
            assert main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 5 and "nope does not exist" in said[3] and said[3] == said[4]
    assert all(line.startswith("error: ") and line.endswith(".") for line in said)
    assert signal.getsignal(signal.SIGTERM) is before
    for arguments in (["score", str(source)], ["score", str(source), "-o", "x.csv", "--batch-size", "0"], []):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2


@pytest.mark.parametrize(("number", "suffix"), [(signal.SIGTERM, "csv"), (signal.SIGINT, "parquet")])
def test_a_killed_run_leaves_nothing(tmp_path: Path, number: int, suffix: str) -> None:
    source = lines(tmp_path / "in.csv", "title", *("t" * 100 for _ in range(500)))
    process = run("score", source, "-o", tmp_path / f"out.{suffix}", "--batch-size", 1, pause=0.1)
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob(".out*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    assert list(tmp_path.glob(".out*.tmp")) and process.poll() is None
    process.send_signal(number)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 130 and said.strip().endswith("Stopped; nothing was written.")
    assert "Traceback" not in said
    assert os.listdir(tmp_path) == ["in.csv"]


def test_ignored_signals_stay_ignored() -> None:
    from engine.commands import stopped_by_signals

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    source = lines(tmp_path / "in.csv", "title", *("t" * (index % 300) for index in range(1_000)))
    code = (
        "import resource, sys; from tests.fake_predictor import FakePredictor\n"
        "from engine.batch.score import score_file;"
        "from engine.errors import DataError; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))\n"
        "try: score_file(FakePredictor(), sys.argv[1], sys.argv[2])\n"
        "except DataError as error: print(error)"
    )
    target = tmp_path / f"out.{suffix}"
    done = subprocess.run([sys.executable, "-c", code, source, target], cwd=ROOT, capture_output=True, text=True)
    assert "cannot be written" in done.stdout and done.stderr == "", done.stderr
    assert os.listdir(tmp_path) == ["in.csv"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/theirs/.lock"), "/theirs/.lock: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_a_training_step_that_may_not_write_says_so_in_one_sentence(
    error: OSError, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training import __main__ as command

    def split(work: Path, *, seed: int) -> None:
        raise error

    monkeypatch.setattr("training.data.workspace.split", split)
    assert command.main(["split", "--work", "theirs"]) == 2
    said = capsys.readouterr().err
    assert said == f"error: A file cannot be read or written ({reason}); mend that and run the same command again.\n"


def test_a_training_step_that_is_stopped_cleans_up_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training import __main__ as command

    def split(work: Path, *, seed: int) -> None:
        with replacing(tmp_path / "whole"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    monkeypatch.setattr("training.data.workspace.split", split)
    assert command.main(["split", "--work", "mine"]) == 130
    assert capsys.readouterr().err == "stopped; run the same command again to go on\n"
    assert os.listdir(tmp_path) == []
