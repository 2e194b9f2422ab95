"""Signals of one draft: each alone, null with a reason where there is nothing to say, never in a prediction's way."""

import dataclasses
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

import engine.encoders
from benchmarks.signals import posts
from engine import signals as module
from engine.captioners import Caption, load_captioner, packaged
from engine.captioners.decoder import SPECIALS, CaptionDecoder, DecoderConfig
from engine.encoders import aligned, load_encoder
from engine.errors import EncoderError
from engine.features import faces, perplexity
from engine.language_models import Surprise
from engine.posts import Post
from engine.signals import FAILED, NO_CAPTION, NO_LATIN, NO_TITLE, NO_WORDS, OFF, SIGNALS, Signal, Signals

pytest.importorskip("rapidocr")
pytest.importorskip("ai_edge_litert")
ROOT = Path(__file__).parents[2]
TITLE = "My cat never sleeps"
WORDS = ("a", "cat", "on", "mat", "dog", "red")
ONE_COLOUR = Image.new("RGB", (320, 180), (20, 20, 80))


def drawn(text: str = "MY CAT SLEEPS") -> Image.Image:
    picture = Image.new("RGB", (640, 360), (20, 20, 80))
    ImageDraw.Draw(picture).text((40, 100), text, (255, 230, 0), ImageFont.load_default(60))
    return picture


class FakeLanguageModel:
    """Every word costs two nats."""

    script, identity, dtype = "LATIN", "fake", "float32"

    def surprise(self, texts: list[str]) -> Surprise:
        tokens = np.array([len(text.split()) for text in texts])
        return Surprise(2.0 * tokens, tokens, np.array(list(map(len, texts))))


def write_alignment(folder: Path) -> None:
    """Projections with random weights over the towers as they come."""
    folder.mkdir()
    (folder / aligned.CONFIG).write_text(json.dumps({"width": 16, "hidden": 8}))
    torch.manual_seed(0)
    made = {
        aligned.IMAGE: aligned.AlignedImage(None, width=16, hidden=8),
        aligned.TEXT: aligned.AlignedText(None, width=16),
    }
    for name, encoder in made.items():
        head = {key: value for key, value in encoder.module.state_dict().items() if aligned.PROJECTION in key}
        save_file({key: value.contiguous() for key, value in head.items()}, folder / name)


def write_captioner(folder: Path) -> None:
    """A decoder with random weights, of which some sentence comes."""
    folder.mkdir()
    config = DecoderConfig(vocabulary=len(SPECIALS) + len(WORDS), width=8, layers=1, heads=2, length=5)
    tower = load_encoder("aligned-image").identity
    facts = {"tower": "aligned-image", "tower_identity": tower, "decoder": dataclasses.asdict(config)}
    (folder / packaged.CONFIG).write_text(json.dumps(facts))
    vocabulary = {word: number for number, word in enumerate([*SPECIALS, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIALS[-1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / packaged.TOKENIZER))
    save_file(CaptionDecoder(config).state_dict(), folder / packaged.WEIGHTS)


def forget() -> None:
    """Encoders and captioners are shared by a process."""
    engine.encoders._load_shared.cache_clear()
    load_captioner.cache_clear()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Weights of both where the shipped ones lie, and a language model that costs nothing."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        forget()
        patch.setattr(aligned, "SHIPPED", folder / "alignment")
        patch.setattr(packaged, "SHIPPED", folder / "captioner")
        patch.setattr(perplexity, "load_language_model", lambda *_, **__: FakeLanguageModel())
        write_alignment(folder / "alignment")
        write_captioner(folder / "captioner")
        yield folder
        forget()


@pytest.fixture(scope="module")
def reader(weights: Path) -> Signals:
    return Signals("cpu")


def values(found: dict[str, Signal]) -> dict[str, bool]:
    return {name: signal.value is not None for name, signal in found.items()}


def test_every_signal_of_a_draft_is_read(reader: Signals) -> None:
    found = reader.read(Post(TITLE, drawn()))
    assert list(found) == list(SIGNALS) and all(values(found).values())
    assert -1 <= found["similarity"].value <= 1 and -1 <= found["caption_consistency"].value <= 1  # type: ignore[operator]
    assert set(found["caption_consistency"].detail[0].split()) <= set(WORDS)
    assert found["log_perplexity"].value == 2 and found["faces"].value == 0
    written = found["title_written"]
    assert (written.value, written.total, written.detail) == (0.75, 4, ("MY CAT SLEEPS",))


def test_the_signals_are_those_of_the_features(reader: Signals) -> None:
    post = Post(TITLE, drawn())
    found = reader.read(post)
    picture, words = load_encoder("aligned-image", device="cpu"), load_encoder("aligned-text", device="cpu")
    cosine = torch.cosine_similarity(picture.encode([post.image]), words.encode([TITLE]))  # type: ignore[list-item]
    assert found["similarity"].value == pytest.approx(float(cosine), abs=1e-5)
    consistency = reader._features["caption_consistency"]["caption_consistency"]
    assert found["caption_consistency"].value == pytest.approx(float(consistency.compute([post], {})[0, 0]), abs=1e-5)


SEEN = ("similarity", "caption_consistency", "title_written", "faces")
PLAIN = "The picture shows a single colour."


@pytest.mark.parametrize(
    ("post", "reasons"),
    [
        (Post("", drawn()), dict.fromkeys(["similarity", "caption_consistency", "log_perplexity"], NO_TITLE)),
        (Post(TITLE), dict.fromkeys(SEEN, "There is no picture.")),
        (Post("Моя кошка не спит", drawn()), dict.fromkeys(["similarity", "caption_consistency"], NO_LATIN)),
        (Post("猫が寝ない", drawn()), dict.fromkeys(["similarity", "caption_consistency"], NO_LATIN)),
        (Post(TITLE, ONE_COLOUR), dict.fromkeys(SEEN, PLAIN)),
        (Post("🔥🔥 ❤️", drawn()), dict.fromkeys(["similarity", "caption_consistency", "title_written"], NO_WORDS)),
        (
            Post(TITLE, Image.linear_gradient("L").convert("RGB")),
            {"title_written": "No words are written in the picture."},
        ),
        (Post(), dict.fromkeys(SEEN, "There is no picture.") | {"log_perplexity": NO_TITLE}),
    ],
)
def test_what_says_nothing_says_why(reader: Signals, post: Post, reasons: dict[str, str]) -> None:
    found = reader.read(post)
    assert {name: found[name].why for name in reasons} == reasons
    assert all((signal.value is None) == bool(signal.why) for signal in found.values())


def test_what_is_not_latin_has_no_wording_to_judge(reader: Signals) -> None:
    found = reader.read(Post("Моя кошка не спит"))["log_perplexity"]
    assert found.value is None and "not Latin" in found.why


def test_a_picture_without_a_caption_says_so(reader: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    consistency = reader._features["caption_consistency"]["caption_consistency"]
    monkeypatch.setattr(consistency.captioner, "captions", lambda images: [Caption(" ", -1.0)])  # type: ignore[attr-defined]
    assert reader.read(Post(TITLE, drawn()))["caption_consistency"].why == NO_CAPTION


def test_a_title_of_500_characters_is_read(reader: Signals) -> None:
    assert all(values(reader.read(Post("cat " * 125, drawn()))).values())


def test_only_what_concerns_the_draft_is_streamed(reader: Signals) -> None:
    assert [signal.name for signal in reader.stream(Post(TITLE))] == ["log_perplexity"]
    assert [signal.name for signal in reader.stream(Post(image=drawn()))] == ["faces"]


def test_missing_weights_switch_off_what_needs_them(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forget()
    monkeypatch.setattr(aligned, "SHIPPED", tmp_path / "nothing")
    reader = Signals("cpu")
    for _ in range(2):
        found = reader.read(Post(TITLE, drawn()))
        assert [name for name, signal in found.items() if signal.why == OFF] == ["similarity", "caption_consistency"]
        assert found["log_perplexity"].value is not None and found["title_written"].value is not None
    # Once each, and for the log alone: it names a folder.
    assert caplog.text.count("holds no alignment") == 2
    forget()


def test_a_failure_costs_one_signal_of_one_draft(
    reader: Signals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(self: Any, posts: list[Post], upstream: Any) -> None:
        raise ZeroDivisionError(posts[0].title)

    with monkeypatch.context() as patch, caplog.at_level(logging.DEBUG):
        patch.setattr(faces.Faces, "compute", fails)
        found = reader.read(Post("a private draft", drawn()))
    assert found["faces"].why == FAILED and values(found) == {name: name != "faces" for name in SIGNALS}
    assert "ZeroDivisionError" in caplog.text and "private" not in caplog.text
    assert reader.read(Post(TITLE, drawn()))["faces"].value == 0


def test_what_is_not_installed_says_so(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise EncoderError("It is not installed; run: pip install it")

    monkeypatch.setattr(perplexity, "load_language_model", missing)
    assert Signals("cpu").read(Post(TITLE))["log_perplexity"].why == "It is not installed; run: pip install it"


def test_a_model_that_breaks_later_says_so(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(texts: list[str]) -> None:
        raise EncoderError("Its file is broken; install it again.")

    model = SimpleNamespace(script="LATIN", identity="", dtype="", surprise=breaks)
    monkeypatch.setattr(perplexity, "load_language_model", lambda *_, **__: model)
    assert Signals("cpu").read(Post(TITLE))["log_perplexity"].why == "Its file is broken; install it again."


def test_visitors_who_come_together_load_everything_once(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], module.make_features
    monkeypatch.setattr(module, "make_features", lambda names, settings: made.append(*names) or make(names, settings))
    reader, picture = Signals("cpu"), drawn()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: reader.read(Post(TITLE, picture)), range(4)))
    assert all(one == found[0] for one in found)
    assert sorted(made) == sorted(source.feature for source in SIGNALS.values())


def test_the_page_is_there_before_any_network() -> None:
    heavy = ("torch", "transformers", "onnxruntime", "cv2", "ai_edge_litert", "catboost")
    code = f"import app, sys\napp.build(object)\nprint(*sorted(set({heavy}) & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr


def test_the_benchmark_never_asks_the_same_twice() -> None:
    pairs = list(zip(posts(0), posts(1), strict=True))
    assert len(pairs) >= 3
    for one, other in pairs:
        assert one.title != other.title and one.image is not None and other.image is not None
        assert (np.array(one.image) != np.array(other.image)).any()
