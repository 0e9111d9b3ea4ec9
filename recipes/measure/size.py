"""Size of a saved model: bytes of its files, parameters, and its digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.core.checkpoint.guard import guarded, read_object
from compress.core.errors import InputError
from recipes.record import Record, Size

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle

__all__ = ["Counts", "counts", "exported_counts", "model_files", "sha256", "size", "tokenizer_files"]

MODEL_NAMES = {
    "config.json", "trimformer.json", "export.json", "adapter_config.json", "delta_config.json",
    "model.safetensors.index.json",
}  # fmt: skip
MASKS = "masks.safetensors"
"""Data for a later fit: the zeros themselves stand in the weights."""
MODEL_SUFFIXES = {".safetensors", ".py"}
MANIFEST = "export.json"
BASE_PATHS = {"delta_config.json": ("base", "path"), "adapter_config.json": ("base_model_name_or_path",)}
"""Files of a delta -> the keys that lead to where its base lies."""
OLD_EXPORT_SUFFIXES = {".onnx", ".data", ".onnx_data", ".xml", ".bin"}
"""Of exports whose `export.json` does not yet name their files."""
TOKENIZER_NAMES = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", "bpe.codes",
    "preprocessor_config.json", "processor_config.json", "chat_template.jinja",
}  # fmt: skip


class Counts(Record):
    """Parameters of a model, each tensor once: all, those that are not zero, those in embedding tables."""

    parameters: int
    nonzero: int
    embedding: int


def counts(bundle: Bundle) -> Counts:
    """Parameter counts of a model in memory. A tensor that two modules share is counted once."""
    from compress.core.model.low_bit import nonzero_count

    sketch = bundle.sketch()
    return Counts(
        parameters=sketch.parameters,
        nonzero=nonzero_count(bundle.model),
        embedding=sketch.embedding_parameters,
    )


def model_files(directory: Path) -> list[Path]:
    """The files that are needed to run the model, without its tokenizer, sorted by name."""
    if not directory.is_dir():
        raise InputError("there is no such directory", given=str(directory))
    files = [path for path in sorted(directory.iterdir()) if path.is_file() and not _is_tokenizer(path)]
    weights = _weights(directory, files)
    if not weights:
        raise InputError("there is no model in this directory", where=str(directory), advice=_advice(files))
    return [path for path in files if path.name in MODEL_NAMES or path in weights]


def _weights(directory: Path, files: list[Path]) -> list[Path]:
    """Of these files those that hold the weights, or the graph; of an export those that its format wrote."""
    manifest = directory / MANIFEST
    if not manifest.is_file():
        return [path for path in files if path.suffix in MODEL_SUFFIXES and path.name != MASKS]
    written = read_object(manifest).get("files")
    if written is None:
        return [path for path in files if path.suffix in OLD_EXPORT_SUFFIXES]
    return [path for path in files if path.name in written]


def _advice(files: list[Path]) -> str:
    if any(path.name == "pytorch_model.bin" for path in files):
        return "its weights are a pickle, which is not opened; save them with save_pretrained, as safetensors"
    return "a model directory holds config.json and model.safetensors, or is an export with export.json"


def _is_tokenizer(path: Path) -> bool:
    return path.name in TOKENIZER_NAMES or path.name.startswith(("openvino_tokenizer", "openvino_detokenizer"))


def tokenizer_files(directory: Path) -> list[Path]:
    """The files of the tokenizer or image processor, sorted by name."""
    return [path for path in sorted(directory.iterdir()) if path.is_file() and _is_tokenizer(path)]


def exported_counts(directory: Path) -> Counts | None:
    """What an export says of the parameters of its PyTorch model; None where it says nothing."""
    path = directory / MANIFEST
    said = read_object(path).get("counts")
    with guarded("the export's record cannot be read", given=str(path)):
        return None if said is None else Counts.model_validate(said)


def size(directory: Path, of: Counts | None) -> Size:
    """Bytes of the directory's files, with parameters counted in the model (an export's: in its parent).

    A delta counts as itself and its base, whose tokenizer it uses.

    Args:
        directory: of a saved model, a delta or an export.
        of: the parameter counts; None where they are not known.
    """
    from finetune.delta.record import base_directory

    base = base_directory(directory)
    if base is not None:
        below, own = size(base, of), _bytes(model_files(directory))
        return below.model_copy(update={"bytes": below.bytes + own, "delta_bytes": own})
    known = {} if of is None else {
        "parameters": of.parameters, "nonzero_parameters": of.nonzero, "embedding_parameters": of.embedding
    }  # fmt: skip
    return Size(bytes=_bytes(model_files(directory)), tokenizer_bytes=_bytes(tokenizer_files(directory)), **known)


def _bytes(files: list[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def sha256(directory: Path) -> str:
    """The digest of the names and contents of the model's and tokenizer's files.

    Where the base of a delta lies is no part of it: a run that is moved keeps its digest.
    """
    digest = hashlib.sha256()
    for path in sorted([*model_files(directory), *tokenizer_files(directory)]):
        if path.name in BASE_PATHS:
            text = _without(read_object(path), *BASE_PATHS[path.name])
            digest.update(f"{path.name}\0{len(text)}\0{text}".encode())
            continue
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _without(data: Any, *keys: str) -> str:
    """Canonical JSON of nested mappings, without the value that the keys lead to."""
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner.pop(keys[-1], None)
    return json.dumps(data, sort_keys=True)
