"""Low-rank adapters (LoRA, Hu et al. 2022) in the attention layers of an encoder, through peft.

An adapted query or value layer computes W x + (α / r) B A x with W frozen. Before a bundle is made B A is added to W,
so a bundle knows nothing of adapters.
"""

from torch import nn

RANK = 8
ALPHA = 16
DROPOUT = 0.05
# What transformers calls query and value layers, in BERT, in DeBERTa, and in ViT, CLIP and SigLIP.
QUERIES_AND_VALUES = ("query", "value", "query_proj", "value_proj", "q_proj", "v_proj")


def add_adapters(module: nn.Module) -> bool:
    """Put adapters into every query and value layer, in place; False where there is none, as in a convolution.

    B starts at zero, so the outputs are those of before.
    """
    names = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear) and name.rpartition(".")[2] in QUERIES_AND_VALUES
    ]
    if not names:
        return False
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=DROPOUT, target_modules=names), module)
    return True


def adapter_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that `add_adapters` put in."""
    return [parameter for name, parameter in module.named_parameters() if ".lora_" in name]


def merge_adapters(module: nn.Module) -> list[str]:
    """Add every adapter to the weights it adapts and take it out; returns the names of those weights."""
    from peft.tuners.lora import LoraLayer

    changed = []
    for name, layer in list(module.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            parent, _, own = name.rpartition(".")
            setattr(module.get_submodule(parent), own, layer.get_base_layer())
            changed.append(f"{name}.weight")
    return changed
