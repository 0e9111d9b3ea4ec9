"""Opening of tokenizers and image processors: whatever transformers opens, with a vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compress.core.checkpoint.guard import guarded, names, read_object
from compress.core.checkpoint.open import quiet
from compress.core.errors import InputError
from compress.core.families.family import stock_type

__all__ = ["open_processor"]

IMAGES = ("preprocessor_config.json", "processor_config.json")
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model",
    "tokenizer.model", "bpe.codes",
)  # fmt: skip
MOST_BYTES = 512 * 10**6
"""Of a file with a vocabulary."""
BESIDE = "put the files of its tokenizer beside config.json, as save_pretrained of the tokenizer does"


def open_processor(directory: Path, config: Any = None) -> Any:
    """The tokenizer, or the image processor, or None where there is neither.

    Args:
        directory: of the model.
        config: of the model.

    Raises:
        InputError: a file of it is damaged or missing, or it is code of its own.
    """
    if any((directory / name).is_file() for name in IMAGES):
        return _image_processor(directory, config)
    known = {*VOCABULARIES, *SETTINGS[:1], *_files_of(_usual_class(config))}
    return _tokenizer(directory, config) if any((directory / name).is_file() for name in known) else None


def _image_processor(directory: Path, config: Any) -> Any:
    import transformers
    from transformers import AutoImageProcessor

    for name in IMAGES:
        named = _read(directory, name).get("image_processor_type")
        if named is not None and not hasattr(transformers, str(named)):
            raise InputError("transformers has no such image processor", given=named, where=str(directory / name))
    with guarded("transformers cannot open the image processor of this model", given=str(directory)), quiet():
        return AutoImageProcessor.from_pretrained(directory, config=config, trust_remote_code=False)


def _tokenizer(directory: Path, config: Any) -> Any:
    from transformers import AutoTokenizer

    for name in (*SETTINGS, "tokenizer.json", "vocab.json"):
        _read(directory, name)
    with guarded("transformers cannot open the tokenizer of this model", given=str(directory), advice=BESIDE), quiet():
        found = AutoTokenizer.from_pretrained(directory, config=config, trust_remote_code=False)
        entries = len(found)
    _check_vocabulary(directory, found)
    if not isinstance(found.model_max_length, (int, float)):
        raise InputError(
            "'model_max_length' of the tokenizer is no number",
            given=found.model_max_length,
            where=str(directory / SETTINGS[0]),
        )
    if found.model_max_length < 1:
        raise InputError(
            "the tokenizer reads no tokens",
            given=found.model_max_length,
            where=str(directory),
            advice="correct 'model_max_length' in tokenizer_config.json",
        )
    if not entries:
        raise InputError("the tokenizer of this model has no vocabulary", given=str(directory), advice=BESIDE)
    with guarded("the tokenizer of this model opens, and cannot encode a text", given=str(directory)):
        found("a text")
        found("a text", "and another")
    return found


def _read(directory: Path, name: str) -> dict[str, Any]:
    """What a file of that name holds, if there is one. It is JSON, and names no code of its own, or `InputError`."""
    path = directory / name
    if not path.is_file():
        return {}
    limits = {"most_bytes": MOST_BYTES} if name in VOCABULARIES else {}
    found = read_object(path, **limits)
    if name in (*SETTINGS, *IMAGES) and found.get("auto_map"):
        raise InputError(
            "the texts or images are prepared by code of the checkpoint's own, which is never run here",
            given=found["auto_map"],
            where=str(path),
            advice="save the tokenizer in a class of transformers, and remove 'auto_map'",
        )
    return found


def _check_vocabulary(directory: Path, tokenizer: Any) -> None:
    """Raise `InputError` where transformers made up a tokenizer of a few special tokens for want of its files."""
    wanted = _files_of(type(tokenizer))
    if not wanted or (directory / "tokenizer.json").is_file():
        return
    missing = [name for name in wanted if name != "tokenizer.json" and not (directory / name).is_file()]
    if missing:
        raise InputError(
            f"the tokenizer's vocabulary is not beside it: {names(missing)} (or tokenizer.json) is missing",
            given=str(directory),
            advice=BESIDE,
        )


def _files_of(tokenizer_class: Any) -> tuple[str, ...]:
    """Names of the files that hold the vocabulary of a class of tokenizers."""
    given = getattr(tokenizer_class, "vocab_files_names", None) or {}
    return tuple(name for name in given.values() if name not in SETTINGS)


def _usual_class(config: Any) -> Any:
    """The class of tokenizers that transformers takes for such a model; None where there is none."""
    from transformers.models.auto import tokenization_auto

    if config is None:
        return None
    usual = tokenization_auto.TOKENIZER_MAPPING_NAMES.get(stock_type(config.model_type))
    named = getattr(config, "tokenizer_class", None) or usual
    return tokenization_auto.tokenizer_class_from_name(named) if isinstance(named, str) else None
