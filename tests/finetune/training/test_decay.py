"""Weight decay: of matrices, not of vectors."""

import pytest
import torch

from compress.core.fit.plan import TrainPlan
from finetune.methods.adalora import Adalora
from finetune.methods.dora import Dora
from finetune.training.fit import make_fit
from tests.finetune.inserted.lora.test_insertion import put_in
from tests.tiny import tiny_bundle

STEPS, RATE, DECAY = 4, 1e-3, 200.0
PLAN = TrainPlan(max_steps=STEPS, batch_size=8, precision="fp32", learning_rate=RATE, weight_decay=DECAY, warmup=0.0)


@pytest.mark.parametrize(
    ("method", "vector"), [(Dora(), "lora_magnitude_vector"), (Adalora(rank=2, initial_rank=4), "lora_E")]
)
def test_magnitudes_and_singular_values_are_not_decayed(task, splits, method, vector):
    bundle, _ = put_in(method, tiny_bundle("bert"))
    with torch.no_grad():
        for name, parameter in bundle.model.named_parameters():
            if "lora_" in name:
                parameter.fill_(1.0)
    make_fit(task, splits, seed=0, device=torch.device("cpu"))(bundle, task.objective, PLAN)
    moved = {name: (p - 1).abs().max().item() for name, p in bundle.model.named_parameters() if "lora_" in name}
    reach = 2 * STEPS * RATE  # what Adam itself may move a parameter by
    vectors = [distance for name, distance in moved.items() if vector in name]
    matrices = [distance for name, distance in moved.items() if "lora_A" in name]
    assert vectors and max(vectors) < reach
    assert matrices and min(matrices) > 0.3
