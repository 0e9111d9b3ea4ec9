"""One base, several small deltas: tune few parameters, keep what moved, switch by name, merge one.

    python examples/many_deltas.py [MODEL_DIRECTORY]

The two tunings learn from the same made reviews here; in earnest each delta has a task of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from tiny_model import write_tiny_model

import finetune
from compress import load_source, save
from compress.core.fit.plan import TrainPlan
from finetune.context import make_context
from finetune.merge.stage import Merge
from finetune.methods.bitfit import Bitfit
from finetune.methods.lora import Lora
from finetune.tasks.sources.reviews import Reviews
from finetune.tasks.text_classification import TextClassification

TASK = TextClassification(data=Reviews(train=200, evaluation=50), max_length=48)
METHODS = (Bitfit(), Lora(rank=4))
SHORT = TrainPlan(max_steps=20)


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        splits = TASK.load(0)
        model = arguments[0] if arguments else write_tiny_model(out / "model", TASK.texts(splits.train))
        base = load_source(str(model), head=TASK.needs_head)
        ctx = make_context(TASK, splits, seed=0, device=torch.device("cpu"), scratch=None)
        for method in METHODS:
            tuned = finetune.Finetune(method=method, train=SHORT).run(base.copy(), ctx)
            finetune.save_delta(tuned, out / method.name)

        many = finetune.Deltas(base)
        for method in METHODS:
            many.add(method.name, out / method.name)
            size = sum(path.stat().st_size for path in (out / method.name).glob("*.safetensors"))
            print(f"{method.name}: {size:,} bytes, select accuracy {ctx.evaluate(many.use(method.name)):.2f}")

        merged = Merge().run(many.use("lora").copy(), ctx)
        save(merged, out / "merged")
        print(f"merged: {merged.sketch().parameters:,} parameters, a {type(merged.model).__name__} of its own")


if __name__ == "__main__":
    main(sys.argv[1:])
