"""Tiny language models for tests, also as the GGUF file of a wheel, and what they make of a text."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from engine.features import FeatureSettings, make_features
from engine.features.perplexity import Perplexity
from tests.tiny import CORPUS

START = "<|endoftext|>"
POSITIONS = 64
TEXTS = [
    "I built the fastest car in the world",
    "x",
    "A quiet morning walk along the river, and then we cooked for a hundred people and learned this",
    "",
    "été 🔥 <|endoftext|> the dog",
    "Ten mistakes",
]


def build(folder: Path, kind: str, bos: str | None = START, seed: int = 0) -> Path:
    """A checkpoint of a tiny language model with random weights and a byte-level tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [START, "<|im_start|>"]
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(vocab_size=320, initial_alphabet=letters, special_tokens=special, show_progress=False),
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=START).save_pretrained(folder)
    torch.manual_seed(seed)
    module: Any
    if kind == "gpt2":
        sizes = {"n_positions": POSITIONS, "n_embd": 16, "n_layer": 2, "n_head": 2}
        module = GPT2LMHeadModel(GPT2Config(vocab_size=320, bos_token_id=0, eos_token_id=0, **sizes))
    else:
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        sizes |= {"intermediate_size": 64, "max_position_embeddings": POSITIONS}
        module = LlamaForCausalLM(LlamaConfig(vocab_size=320, tie_word_embeddings=True, **sizes))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    module.save_pretrained(folder)
    return folder


def write_gguf(checkpoint: Path, file: Path) -> None:
    """The tiny Llama as a GGUF file."""
    import gguf
    from transformers import AutoTokenizer, LlamaForCausalLM

    module, tokenizer = LlamaForCausalLM.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    config, state = module.config, module.state_dict()
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(model["vocab"], key=model["vocab"].get))
    writer.add_token_types([3, 3, *[1] * (len(model["vocab"]) - 2)])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_unk_token_id(0)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", state["model.norm.weight"].numpy())
    for layer in range(config.num_hidden_layers):
        for theirs, name in names.items():
            tensor = state[f"model.layers.{layer}.{theirs}.weight"].numpy()
            if name in ("attn_q", "attn_k"):
                # GGUF pairs neighbours where transformers pairs halves.
                heads = config.num_attention_heads if name == "attn_q" else config.num_key_value_heads
                parts = tensor.reshape(heads, 2, -1, tensor.shape[1])
                tensor = parts.swapaxes(1, 2).reshape(tensor.shape).copy()
            writer.add_tensor(f"blk.{layer}.{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@torch.inference_mode()
def plainly(folder: str, text: str, most: int = POSITIONS - 1) -> tuple[float, int]:
    """Surprise and tokens of one text, token after token with the whole past in front of each."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    module, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    pieces = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids[:most]
    ids = [tokenizer.bos_token_id, *pieces]
    total = 0.0
    for place in range(1, len(ids)):
        logits = module(torch.tensor([ids[:place]])).logits[0, -1].double()
        total -= float(logits.log_softmax(0)[ids[place]])
    return total, len(pieces)


def feature_of(spec: str, **options: Any) -> Perplexity:
    settings = FeatureSettings(options={"perplexity": {"model": spec}}, device="cpu", **options)
    found = make_features(["perplexity"], settings)["perplexity"]
    assert isinstance(found, Perplexity)
    return found
