"""The captioner that comes with the project: a small decoder on the grid of a frozen picture tower.

`python -m training caption` trains it on photos with captions and writes the folder that this reads. On covers, which
are no such photos, it is out of its domain: the report says how often its nouns occur in the titles.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from engine.captioners.base import Caption, Captioner
from engine.captioners.decoder import CaptionDecoder, DecoderConfig, beam_search
from engine.encoders import load_encoder
from engine.encoders.runtime import short_hash
from engine.errors import EncoderError

SHIPPED = Path(__file__).parents[1] / "encoders" / "weights" / "captioner"
CONFIG, TOKENIZER, WEIGHTS = "captioner.json", "tokenizer.json", "decoder.safetensors"
BEAMS, PENALTY = 4, 0.8
# Pictures whose beams are searched together; more would only fill the memory.
BATCH = 16


class GridCaptioner(Captioner):
    """A trained `CaptionDecoder`, its tokenizer, and the tower whose grid it reads. Raises EncoderError when broken."""

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        self.name = "grid"
        try:
            facts = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            self.tower = load_encoder(facts["tower"], device=device)
            self.decoder = CaptionDecoder(DecoderConfig(**facts["decoder"])).eval().requires_grad_(False)
            self.decoder.load_state_dict(load_file(folder / WEIGHTS))
            self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            if facts["tower_identity"] != self.tower.identity:
                raise EncoderError(f"The captioner in {folder} was trained on another picture tower; train it again.")
        except EncoderError:
            raise
        # The libraries that read such files raise as they please; `tokenizers` raises Exception itself.
        except Exception as error:
            raise EncoderError(
                f"{folder} holds no captioner; name a folder that `python -m training caption` wrote."
            ) from error
        self.dtype = self.tower.dtype
        files = [folder / name for name in (CONFIG, TOKENIZER, WEIGHTS)]
        self.identity = short_hash({"beams": BEAMS, "penalty": PENALTY, "tower": self.tower.identity}, files)

    def captions(self, images: Sequence[Image.Image]) -> list[Caption]:
        captions: list[Caption] = []
        for start in range(0, len(images), BATCH):
            grid = self.tower.tokens(images[start : start + BATCH]).values
            # In float32: so small a decoder would spend half its time on rounding its weights, a piece after the other.
            found = beam_search(self.decoder, grid, beams=BEAMS, penalty=PENALTY)
            captions += [Caption(self.tokenizer.decode(pieces), score) for pieces, score in found]
        return captions
