"""Write small RosettaFold-3 networks with random weights; run by its own Python.

The shape of the network is that of its own configuration files, with one block where it has many.
"""

import sys
from pathlib import Path

import rf3
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

ONE = {"atom_transformer": {"diffusion_transformer": {"n_block": 1}}}
TINY = {
    "feature_initializer": {"input_feature_embedder": {"atom_attention_encoder": ONE}},
    "recycler": {
        "n_pairformer_blocks": 1,
        "template_embedder": {"n_block": 1},
        "msa_module": {"n_block": 1},
    },
    "diffusion_module": {
        "atom_attention_encoder": ONE,
        "diffusion_transformer": {"n_block": 1},
        "atom_attention_decoder": ONE,
    },
}

folder = Path(sys.argv[1])
configs = Path(rf3.__file__).parent / "configs"
net = OmegaConf.merge(
    OmegaConf.load(configs / "model" / "components" / "rf3_net.yaml"),
    OmegaConf.load(configs / "model" / "rf3.yaml").net,
    TINY,
)
base = OmegaConf.load(configs / "datasets" / "base.yaml")
base.pipeline_target = "rf3.data.pipelines.build_af3_transform_pipeline"
val = OmegaConf.load(configs / "datasets" / "val" / "base.yaml")
paths = {"data": {"protein_msa_dirs": [], "rna_msa_dirs": [], "failed_examples_dir": None}}
config = OmegaConf.create(
    {
        "model": {"net": net, "ema": {"decay": 0.999}},
        "datasets": OmegaConf.merge(base, {"val": {"one": val}}),
        "paths": paths,
    }
)
torch.manual_seed(0)
model = instantiate(config.model.net, _recursive_=False)


def save(name):
    state = model.state_dict()
    both = {f"model.{key}": torch.zeros_like(value) for key, value in state.items()}
    both |= {f"shadow.{key}": value.clone() for key, value in state.items()}
    torch.save({"train_cfg": config, "model": both}, folder / name)


last = model.diffusion_module.atom_attention_decoder.to_r_update
with torch.no_grad():
    last[1].weight.zero_()
save("silent.ckpt")
generator = torch.Generator().manual_seed(1)
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.ndim > 1:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.5 * drawn / parameter.shape[-1] ** 0.5)
    # It takes the gradient of its features of chirality for zero; without them it can be checked.
    model.diffusion_module.atom_attention_encoder.process_ch.weight.zero_()
save("random.ckpt")
# A network of another shape.
del model.distogram_head
save("other.ckpt")
