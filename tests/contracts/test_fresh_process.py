"""Saved directories open where this package is not installed: one process for all families."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from compress.core.checkpoint.save import save
from compress.core.model.sharing import share_blocks
from compress.core.stage.context import Context
from compress.factorize.stage import Factorize
from tests.contracts.test_saving import auto, cut
from tests.contracts.test_surgery import supporting
from tests.tiny import IMAGE_FAMILIES, tiny_bundle, tiny_inputs, tiny_logits
from tests.tiny.stages import refused

SCRIPT = """
import json, sys
sys.modules.update(compress=None, finetune=None, recipes=None)
import torch, transformers
for job in json.load(open(sys.argv[1])):
    options = {"trust_remote_code": True, "output_loading_info": True}
    model, report = getattr(transformers, job["auto"]).from_pretrained(job["directory"], **options)
    assert not any(report.values()), report
    inputs = {name: torch.tensor(value) for name, value in job["inputs"].items()}
    with torch.no_grad():
        difference = (model.eval()(**inputs).logits - torch.tensor(job["logits"])).abs().max().item()
    assert difference < 1e-5, (job, difference)
    assert type(model).__name__ == job["architecture"]
    assert sum(p.numel() for p in model.parameters()) == job["parameters"], job["directory"]
    base, report = transformers.AutoModel.from_pretrained(job["directory"], **options)
    assert not report["missing_keys"] or all("pooler" in key for key in report["missing_keys"]), report
    mine = dict(model.base_model.named_parameters())
    assert all(torch.equal(p, mine[n]) for n, p in base.named_parameters() if n in mine), job["auto"]
    assert len(mine) <= len(dict(base.named_parameters()))
    if job["tokens"]:
        tokenizer = transformers.AutoTokenizer.from_pretrained(job["directory"], trust_remote_code=True)
        assert tokenizer("the film")["input_ids"] == job["tokens"], job["auto"]
try:
    transformers.AutoModel.from_pretrained(job["directory"])
except ValueError as error:
    assert "trust_remote_code" in str(error)
else:
    raise SystemExit("opened without trust")
print("opened", len(json.load(open(sys.argv[1]))))
"""


FACTORIZED = ("bert", "gpt2", "t5", "bart", "modernbert", "vit")


def factorized(name):
    """Tied tables, linears that are stored (in, out), fused ones."""
    bundle = tiny_bundle(name)
    for what, rank in (("linears", {"ratio": 0.5}), ("embeddings", 6)):
        stage = Factorize.model_validate({"what": what, "rank": rank, "recover": "none"})
        if not refused(stage, bundle.sketch()):
            bundle = stage.run(bundle, Context())
    return bundle


def cut_heads(name):
    bundle = tiny_bundle(name)
    cut(bundle, "heads")
    return bundle


def shared(name):
    bundle = tiny_bundle(name)
    what = ("all", "attention", "ffn")[supporting("blocks").index(name) % 3]
    share_blocks(bundle.model, bundle.family, what=what, groups=((0, 1), (2, 3)), sources=((0, 1), (3,)))
    return bundle


def job(bundle, name, directory):
    return {
        "auto": auto(name).__name__,
        "directory": str(save(bundle, directory)),
        "inputs": {key: value.tolist() for key, value in tiny_inputs(bundle).items()},
        "logits": tiny_logits(bundle).tolist(),
        "tokens": [] if name in IMAGE_FAMILIES else bundle.processor("the film")["input_ids"],
        "architecture": type(bundle.model).__name__,
        "parameters": bundle.sketch().parameters,
    }


@pytest.mark.slow
def test_what_no_configuration_can_say_opens_with_transformers_alone(tmp_path):
    cases = [(cut_heads, name) for name in supporting("heads")]
    cases += [(shared, name) for name in supporting("blocks")] + [(factorized, name) for name in FACTORIZED]
    jobs = [job(made(name), name, tmp_path / f"{made.__name__}-{name}") for made, name in cases]
    assert torch.tensor(jobs[0]["logits"]).shape == (5, 2)
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "script.py", "jobs.json"],
        cwd=tmp_path,
        env={**environment, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"opened {len(jobs)}" in done.stdout
