"""Usage example of a delta: by PEFT where that can express it, else with this package."""

from __future__ import annotations

from pathlib import Path

from compress.core.checkpoint.resolve import read_config
from compress.core.checkpoint.usage import Usage, auto_class, class_names
from finetune.delta.record import TENSORS, DeltaRecord, is_delta, read_record

__all__ = ["delta_usage"]


def delta_usage(directory: Path) -> Usage:
    """Usage of a directory that `save_delta` wrote.

    PEFT opens a delta in its own format on a base that plain transformers opens as it was tuned: one of the stock
    architectures, not stored in fewer bits for the training.
    """
    record = read_record(directory)
    kind = auto_class([record.base.architecture]) or ""
    head = {"architectures": [record.base.architecture], "id2label": dict(enumerate(record.labels))}
    problem = "regression" if record.regression else record.problem
    labels = class_names({**head, "problem_type": problem}, "model.config.id2label")
    if _peft_opens(record, directory):
        name = kind.replace("AutoModel", "AutoPeftModel")
        opening = f"model = {name}.from_pretrained(directory)"
        return Usage((f"from peft import {name}",), opening, "model(**inputs).logits", labels)
    base = "BASE" if record.base.path is None else record.base.path
    where = f'f"{{directory}}/{base}"' if (directory / base).is_dir() else f'"{base}"'
    opening = f"model = finetune.load({where}, directory).model"
    return Usage(("import finetune",), opening, "model(**inputs).logits", labels)


def _peft_opens(record: DeltaRecord, directory: Path) -> bool:
    base = directory / (record.base.path or "")
    if record.tensors == TENSORS or len(record.changes) != 1 or record.base.path is None or not base.is_dir():
        return False
    return not is_delta(base) and "auto_map" not in read_config(base)
