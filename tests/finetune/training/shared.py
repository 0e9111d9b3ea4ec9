"""One fit, for `torchrun -m tests.finetune.training.shared DATA OUT [STOP]`: the main process writes what it gave."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file

from compress.core.fit.plan import TrainPlan
from finetune.batching.predict import predict
from finetune.processes import joined
from finetune.tasks.text_classification import TextClassification
from finetune.training.fit import make_fit
from tests.finetune.fits import CPU, EVERY_STEP, StopAfter
from tests.tiny import tiny_bundle

PLAN = TrainPlan(
    epochs=2, batch_size=7, accumulation=2, learning_rate=1e-3, precision="fp32", patience=5, arguments={"optim": "sgd"}
)


def main(data: str, out: Path, stop: int = 10**9) -> None:
    """Train a tiny model without dropout on `data`; weights, loss and answers go to `out`.

    It breaks off after `stop` steps.
    """
    task = TextClassification(data=data, max_length=24)
    splits = task.load(0)
    without = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
    bundle = tiny_bundle("bert", num_hidden_layers=2, **without)
    with joined("cpu") as processes, processes.together():
        fit = make_fit(task, splits, seed=0, device=CPU, directory=out / "fits", checkpointing=EVERY_STEP)
        result = fit(bundle, task.objective, PLAN, hooks=[StopAfter(stop)])
        answers = predict(bundle, task, splits.select).values
    if processes.main:
        told = {**asdict(result), "notes": dict(result.notes), "seconds": 0, "answers": answers.tolist()}
        (out / "result.json").write_text(json.dumps(told))
        save_file(bundle.model.state_dict(), out / "model.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
