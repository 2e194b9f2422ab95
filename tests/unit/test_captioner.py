"""The caption decoder, its beam search, its training, and BLIP behind the same protocol."""

import json
import shutil
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage import data

from engine.captioners import load_captioner
from engine.captioners.decoder import END, PAD, START, UNKNOWN, CaptionDecoder, DecoderConfig, beam_search
from engine.captioners.packaged import CONFIG, SHIPPED, TOKENIZER
from engine.errors import EncoderError
from engine.features.caption_consistency import CaptionConsistency
from engine.posts import Post
from tests.tiny import build_blip
from tests.unit.test_alignment import photos
from training.data.pairs import Pairs, read_photos
from training.evaluation.captioning import measure, nouns, nouns_in_titles
from training.metrics.captions import bleu4
from training.modeling.captioning import CaptioningConfig, learn_tokenizer, train_captioner

SMALL = DecoderConfig(vocabulary=12, grid=6, width=16, layers=1, heads=2, length=7)
CAT = Image.fromarray(data.chelsea())


def decoder(seed: int = 0) -> CaptionDecoder:
    torch.manual_seed(seed)
    return CaptionDecoder(SMALL).eval()


def plain_score(net: CaptionDecoder, grid: torch.Tensor, pieces: list[int]) -> float:
    """Log probability of a whole caption, its end included, without any search."""
    sequence = torch.tensor([[START, *pieces, END]])
    with torch.inference_mode():
        found = net(net.look(grid[None]), sequence[:, :-1]).log_softmax(-1)
    return float(found[0].gather(1, sequence[0, 1:, None]).sum())


@pytest.mark.parametrize("seed", range(3))
def test_the_search_scores_what_it_says(seed: int) -> None:
    net, grid = decoder(seed), torch.randn(4, 9, 6)
    for place, (pieces, score) in enumerate(beam_search(net, grid, beams=3, penalty=1.0)):
        assert not {PAD, START, END, UNKNOWN} & set(pieces) and len(pieces) <= SMALL.length
        pairs = list(pairwise(pieces))
        assert len(pairs) == len(set(pairs))
        if len(pieces) < SMALL.length:
            assert score == pytest.approx(plain_score(net, grid[place], pieces) / (len(pieces) + 1), abs=1e-4)


def test_a_caption_does_not_depend_on_its_neighbours() -> None:
    net, grid = decoder(), torch.randn(5, 9, 6)
    together = beam_search(net, grid, beams=3)
    for place in range(5):
        (alone,) = beam_search(net, grid[place : place + 1], beams=3)
        assert alone[0] == together[place][0] and alone[1] == pytest.approx(together[place][1], abs=1e-5)


def test_a_piece_sees_only_those_before_it() -> None:
    net, grid = decoder(), torch.randn(1, 9, 6)
    with torch.inference_mode():
        seen = net.look(grid)
        short = net(seen, torch.tensor([[START, 5, 6]]))
        long = net(seen, torch.tensor([[START, 5, 6, 7, 8]]))
        before = net.step(seen, torch.tensor([[START, 5, 6]]))[1]
        behind, _ = net.step(seen, torch.tensor([[7]]), before)
    torch.testing.assert_close(short, long[:, :3])
    torch.testing.assert_close(behind, long[:, 3:4])


def test_bleu_is_that_of_the_field_with_an_interval_around_it() -> None:
    captions = ["a dog runs on the grass", "two men play football in a park", "a child in a red shirt"]
    references = [
        ["a brown dog runs on green grass", "the dog is running over the grass"],
        ["two men playing football", "men play football in a park"],
        ["a child in red"],
    ]
    import sacrebleu

    padded = [[texts[place] if place < len(texts) else None for texts in references] for place in range(2)]
    value, low, high = bleu4(captions, references, 50)
    assert value == pytest.approx(sacrebleu.corpus_bleu(captions, padded, tokenize="none").score / 100)
    assert low <= value <= high
    assert bleu4(["a b c d e"], [["a b c d e"]])[0] == pytest.approx(1.0)


def test_nouns_of_captions_are_looked_up_in_titles() -> None:
    assert nouns("two men in red shirts play a guitar on stage") == {"man", "shirt", "guitar", "stage"}
    captions = ["a man plays a guitar"] * 10
    titles = ["My guitar and a man", *["Nothing of it"] * 9]
    rows = {row["metric"]: row for row in nouns_in_titles(captions, titles, np.arange(10))}
    assert rows["nouns_in_title"]["value"] == pytest.approx(0.1) and rows["difference"]["n"] == 10
    assert rows["difference"]["value"] == pytest.approx(
        rows["nouns_in_title"]["value"] - rows["nouns_in_other_title"]["value"]
    )


@pytest.mark.slow
def test_a_captioner_is_trained_kept_and_read(tmp_path: Path) -> None:
    photos(60).to_parquet(tmp_path / "photos.parquet")
    pairs = read_photos(tmp_path / "photos.parquet")
    config = CaptioningConfig(tower="lite0:64x64", vocabulary=60, width=32, layers=1, epochs=3, photos=10, warmup=2)
    # One that is given few minutes is there after a pass, and goes on when it is given more.
    train_captioner(pairs, tmp_path / "run", tmp_path / "signals", config, minutes=0)
    assert len(pd.read_parquet(tmp_path / "run" / "curves.parquet")["epoch"].unique()) == 1
    folder = train_captioner(pairs, tmp_path / "run", tmp_path / "signals", config)
    curves = pd.read_parquet(tmp_path / "run" / "curves.parquet").pivot(index="epoch", columns="metric", values="value")
    assert curves["loss"].iloc[-1] < curves["loss"].iloc[0] and len(curves) == 3
    assert train_captioner(pairs, tmp_path / "run", tmp_path / "signals", config) == folder
    captioner = load_captioner(f"grid:{folder}")
    said = captioner.captions([CAT] * 3)
    assert len({found.text for found in said}) == 1 and said[0].confidence <= 0
    covers = Pairs(["a", "b", "c"], pairs.images[:3], [["a house"], ["red"], ["sea"]], np.array(["test"] * 3))
    tables = measure(captioner, pairs, covers, pd.Series([0, 1, 2], index=["a", "b", "c"]))
    assert {"bleu4"} <= set(tables["captions"]["metric"]) and list(tables["caption_examples"]) == [
        *("dataset", "name", "caption")
    ]

    facts = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text(facts.replace(captioner.tower.identity, "another"))
    with pytest.raises(EncoderError, match="was trained on another picture tower"):
        load_captioner.__wrapped__(f"grid:{folder}")
    (folder / CONFIG).write_text(facts)
    (folder / TOKENIZER).unlink()
    with pytest.raises(EncoderError, match="holds no captioner"):
        load_captioner.__wrapped__(f"grid:{folder}")


def test_the_tokenizer_knows_its_special_pieces_and_gives_words_back() -> None:
    tokenizer = learn_tokenizer(["a dog runs", "a dog sits", "the dog runs"] * 4, 60)
    assert tokenizer.decode(tokenizer.encode("a dog sits").ids) == "a dog sits"
    assert [tokenizer.token_to_id(name) for name in ("[pad]", "[start]", "[end]", "[unknown]")] == [0, 1, 2, 3]


def test_blip_stands_behind_the_same_protocol(tmp_path: Path) -> None:
    captioner = load_captioner(f"blip:{build_blip(tmp_path)}", device="cpu")
    one, other = captioner.captions([CAT, Image.fromarray(data.coffee())])
    assert isinstance(one.text, str) and one.confidence <= 0 and other.confidence <= 0
    assert captioner.captions([CAT])[0].text == one.text
    assert load_captioner(f"blip:{tmp_path}", device="cpu").identity == captioner.identity
    feature = CaptionConsistency(captioner=f"blip:{tmp_path}", device="cpu")
    values = feature.compute([Post("a cat", CAT), Post("", CAT), Post("x", Image.new("RGB", (40, 30)))], {})
    assert np.isfinite(values[0]).all() and np.isnan(values[1:]).all()


def test_unknown_captioners_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"There is no captioner “paint”; known are grid\[:FOLDER\], blip:"):
        load_captioner("paint")
    with pytest.raises(EncoderError, match="holds no captioner"):
        load_captioner("grid:/nowhere")
    facts = json.loads((SHIPPED / CONFIG).read_text())
    del facts["tower_identity"]
    shutil.copytree(SHIPPED, tmp_path / "kept")
    (tmp_path / "kept" / CONFIG).write_text(json.dumps(facts))
    with pytest.raises(EncoderError, match="holds no captioner"):
        load_captioner(f"grid:{tmp_path / 'kept'}")
    assert asdict(SMALL)["length"] == 7
