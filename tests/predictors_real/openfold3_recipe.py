"""Write OpenFold3 networks of one block with random weights; run by OpenFold3's own Python."""

import json
import sys
from pathlib import Path

import torch
from openfold3.projects.of3_all_atom.model import OpenFold3
from openfold3.projects.of3_all_atom.project_entry import ModelUpdate, OF3ProjectEntry

ONE = {"no_blocks": 1}
TINY = {
    "architecture": {
        "shared": {"num_recycles": 1},
        "pairformer": ONE,
        "msa": {"msa_module": ONE},
        "template": {"template_pair_stack": ONE},
        "diffusion_module": {
            "diffusion_transformer": ONE,
            "atom_attn_enc": ONE,
            "atom_attn_dec": ONE,
        },
        "heads": {"pairformer_embedding": {"pairformer": ONE}},
    }
}

folder = Path(sys.argv[1])
(folder / "settings.json").write_text(json.dumps(TINY))
update = ModelUpdate(presets=["predict"], custom=TINY)
model = OpenFold3(OF3ProjectEntry().get_model_config_with_update(update))
# As its authors begin training: the last layer is zero.
torch.save(model.state_dict(), folder / "silent.pt")
generator = torch.Generator().manual_seed(1)
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.ndim > 1:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.5 * drawn / parameter.shape[-1] ** 0.5)
torch.save(model.state_dict(), folder / "random.pt")
