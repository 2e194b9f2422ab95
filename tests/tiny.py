"""Tiny random-weight checkpoints of every class the encoders read, saved as the real ones are.

Each builder writes config, safetensors, tokenizer and picture processor into a folder that `load_encoder` can name.
"""

import io
import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SIDE = 32
PATCH = 8
CORPUS = [
    "I built the fastest car in the world",
    "A quiet morning walk along the river",
    "Ten mistakes that every new painter makes",
    "We cooked for a hundred people and learned this",
    "The cat, the dog and the very small house",
]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def _save(module: Any, folder: Path) -> None:
    # Zero biases and unit norms, as a fresh module has them, would hide an encoder that skips one.
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    module.save_pretrained(folder)


def _special(*tokens: str) -> dict[str, Any]:
    return {"vocab_size": 200, "special_tokens": list(tokens), "show_progress": False}


def _word_pieces(*special: str) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(**_special(*special)))
    return tokenizer


def _save_tokenizer(tokenizer: Tokenizer, folder: Path, **special: Any) -> None:
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


def _save_processor(folder: Path, class_name: str, **settings: Any) -> None:
    import transformers

    getattr(transformers, class_name)(**settings).save_pretrained(folder)


def build_bert(folder: Path, seed: int = 0) -> Path:
    """BERT with a WordPiece tokenizer, as bert-base-uncased has it."""
    from transformers import BertConfig, BertModel

    tokenizer = _word_pieces("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    _save_tokenizer(tokenizer, folder, mask_token="[MASK]", model_max_length=64, **named)
    torch.manual_seed(seed)
    _save(BertModel(BertConfig(vocab_size=200, max_position_embeddings=64, **SMALL)), folder)
    return folder


def _sentencepiece(file: Path, **options: Any) -> None:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=model,
        vocab_size=100,
        hard_vocab_limit=False,
        minloglevel=2,
        pad_id=0,
        **options,
    )
    file.write_bytes(model.getvalue())


def build_deberta(folder: Path, seed: int = 0) -> Path:
    """DeBERTa-v2/v3 with its SentencePiece file alone and disentangled attention, as deberta-v3-base has them."""
    from transformers import DebertaV2Config, DebertaV2Model

    pieces = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"}
    _sentencepiece(folder / "spm.model", bos_id=1, eos_id=2, unk_id=3, user_defined_symbols=["[MASK]"], **pieces)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "vocab_type": "spm"}')
    torch.manual_seed(seed)
    config = DebertaV2Config(
        vocab_size=200,
        max_position_embeddings=64,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_buckets=16,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
        type_vocab_size=0,
        **SMALL,
    )
    _save(DebertaV2Model(config), folder)
    return folder


def build_vit(folder: Path, seed: int = 0) -> Path:
    """ViT without the pooler, as image classification checkpoints are saved."""
    from transformers import ViTConfig, ViTModel

    size = {"height": SIDE, "width": SIDE}
    _save_processor(folder, "ViTImageProcessorPil", size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    torch.manual_seed(seed)
    _save(ViTModel(ViTConfig(image_size=SIDE, patch_size=PATCH, **SMALL), add_pooling_layer=False), folder)
    return folder


def build_clip(folder: Path, seed: int = 0) -> Path:
    """CLIP, both encoders, with a byte-level BPE tokenizer and a centre-cropping processor, as OpenAI's have it."""
    from transformers import CLIPConfig, CLIPModel

    start, end = "<|startoftext|>", "<|endoftext|>"
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    # The end token has the highest number of all, which is how older CLIP checkpoints find it.
    pieces = [*letters, *(letter + "</w>" for letter in letters), "th", "the</w>", start, end]
    ids = {piece: number for number, piece in enumerate(pieces)}
    merges = [("t", "h"), ("th", "e</w>")]
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, end_of_word_suffix="</w>", unk_token=end))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, ids[start]), (end, ids[end])]
    )
    _save_tokenizer(
        tokenizer, folder, unk_token=end, bos_token=start, eos_token=end, pad_token=end, model_max_length=20
    )
    size, crop = {"shortest_edge": SIDE}, {"height": SIDE, "width": SIDE}
    _save_processor(folder, "CLIPImageProcessorPil", size=size, crop_size=crop)
    torch.manual_seed(seed)
    text = {"vocab_size": len(ids), "max_position_embeddings": 20, "bos_token_id": ids[start], "eos_token_id": ids[end]}
    config = CLIPConfig(
        text_config={**SMALL, **text},
        vision_config={**SMALL, "hidden_size": 24, "image_size": SIDE, "patch_size": PATCH},
        projection_dim=12,
    )
    _save(CLIPModel(config), folder)
    return folder


def build_siglip(folder: Path, seed: int = 0, *, naflex: bool = False) -> Path:
    """SigLIP, both encoders, with its SentencePiece tokenizer; `naflex` builds SigLIP 2's flexible-size variant."""
    import transformers

    if naflex:
        bpe = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
        bpe.normalizer = normalizers.Replace(" ", "▁")
        bpe.train_from_iterator(CORPUS, trainers.BpeTrainer(**_special("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")))
        model = json.loads(bpe.to_str())["model"]
        merges = [tuple(pair) for pair in model["merges"]]
        tokenizer = transformers.Siglip2Tokenizer(model["vocab"], merges, padding_side="right", model_max_length=16)
    else:
        _sentencepiece(folder / "spiece.model", bos_id=-1, eos_id=1, unk_id=2)
        tokenizer = transformers.SiglipTokenizer(str(folder / "spiece.model"), model_max_length=16)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    special = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1}
    text = {**SMALL, **special, "vocab_size": 200, "max_position_embeddings": 16}
    if naflex:
        _save_processor(folder, "Siglip2ImageProcessorPil", patch_size=PATCH, max_num_patches=16)
        vision = {**SMALL, "patch_size": PATCH, "num_patches": 16}
        _save(transformers.Siglip2Model(transformers.Siglip2Config(text_config=text, vision_config=vision)), folder)
    else:
        _save_processor(folder, "SiglipImageProcessorPil", size={"height": SIDE, "width": SIDE})
        vision = {**SMALL, "image_size": SIDE, "patch_size": PATCH}
        _save(transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision)), folder)
    return folder


def build_blip(folder: Path, seed: int = 0) -> Path:
    """BLIP for captions, with the tokenizer of BERT, as blip-image-captioning-base has it."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    _save_tokenizer(_word_pieces("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"), folder, **named)
    _save_processor(folder, "BlipImageProcessorPil", size={"height": SIDE, "width": SIDE})
    text = {"vocab_size": 200, "max_position_embeddings": 64, "encoder_hidden_size": 16, "projection_dim": 16, **SMALL}
    text |= {"pad_token_id": 0, "sep_token_id": 3, "eos_token_id": 3, "bos_token_id": 5}
    vision = {"image_size": SIDE, "patch_size": PATCH, "projection_dim": 16, **SMALL}
    torch.manual_seed(seed)
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16)
    _save(BlipForConditionalGeneration(config), folder)
    return folder
