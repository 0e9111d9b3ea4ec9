"""Opening of `config.json`: what it says is understood, put aside and said, or refused."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any, get_args

from compress.core.checkpoint.guard import guarded, names
from compress.core.checkpoint.resolve import Checkpoint
from compress.core.errors import InputError
from compress.core.families.family import CHANGED_PREFIX, Family, family_of
from compress.core.model.head import Problem

__all__ = ["library", "open_config", "remarks"]

SWITCHES: Mapping[str, tuple[Any, ...]] = {
    "output_attentions": (False,),
    "_output_attentions": (False,),
    "output_hidden_states": (False,),
    "return_dict": (True,),
    "use_return_dict": (True,),
    "torchscript": (False,),
    "use_bfloat16": (False,),
    "use_cache": (True, False),
    "gradient_checkpointing": (False,),
    "chunk_size_feed_forward": (0,),
    "attn_implementation": ("eager", "sdpa"),
    "_attn_implementation": ("eager", "sdpa"),
    "_attn_implementation_internal": ("eager", "sdpa"),
    "_attn_implementation_autoset": (True, False),
    "experts_implementation": (),
    "_experts_implementation_internal": (),
    "kernel_config": (),
    "fusion_config": (),
    "distributed_config": (),
    "device_map": (),
    "transformers_weights": (),
}
"""Fields that say how a model was run, not what it computes -> the values that need no remark. All are put aside."""

PLAIN = frozenset(
    {"model_type", "auto_map", "trimformer", "quantization_config", "num_labels", "torch_dtype", "name_or_path"}
    | {"_name_or_path", "_commit_hash", "finetuning_task", "task_specific_params", "tokenizer_class", "prefix"}
    | {"layer_types", "position_embedding_type", "rope_scaling", "rope_theta", "classifier_bias", "head_dim"}
    | {"bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "decoder_start_token_id"}
    | {"output_past", "n_ctx", "model_max_length", "language", "adapters", "bad_words_ids", "tf_legacy_loss"}
)
"""Further fields that need no remark: read elsewhere, or notes of whoever wrote the file."""

ACTIVATIONS = (
    "hidden_act",
    "activation_function",
    "activation",
    "hidden_activation",
    "pooler_hidden_act",
    "pooler_act",
)
TYPES = ("float64", "float32", "float16", "bfloat16")
MOST_LAYERS, MOST_UNITS = 1000, 10**8


def library(model_type: str) -> ModuleType:
    """The module whose classes open such a model: transformers, or `changed`, with classes of the same names."""
    import transformers

    from compress.core.layers import changed

    return changed if model_type.startswith(CHANGED_PREFIX) else transformers


def open_config(checkpoint: Checkpoint) -> Any:
    """The configuration of a checkpoint, in transformers' class or that of `changed`, without run-time switches.

    Raises:
        InputError: a field has a value that no such model can have, or asks for a function that would be computed
            differently here: code of its own, relative positions that transformers dropped, heads pruned by it.
        UnknownName: the family is not supported.
    """
    from transformers import CONFIG_MAPPING

    data = {name: value for name, value in checkpoint.config.items() if name not in SWITCHES}
    where = str(checkpoint.found / "config.json")
    model_type = data.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise InputError("config.json does not say its model_type", given=model_type or checkpoint.name, where=where)
    family = _family(model_type, data, where)
    problem = next(_problems(data, family, CONFIG_MAPPING[family.model_type]), None)
    if problem is not None:
        what, given, advice = problem
        raise InputError(what, given=given, where=where, advice=advice)
    found = getattr(library(model_type), CONFIG_MAPPING[family.model_type].__name__)
    with guarded(f"transformers cannot read it as the configuration of a {family.model_type} model", given=where):
        config = found.from_dict(found._decode_special_floats(data))
        config.to_dict()
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        raise InputError(
            "config.json does not say which token the decoder starts with",
            where=where,
            advice="write its 'decoder_start_token_id': of a T5 model it is the padding token's id",
        )
    config.name_or_path = checkpoint.name
    return config


def _family(model_type: str, data: Mapping[str, Any], where: str) -> Family:
    try:
        return family_of(model_type)
    except InputError as error:
        error.where = where
        if data.get("auto_map"):
            error.advice = "its code lies beside it, and code in a model's directory is never run"
        raise


def remarks(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What a user should know of `config.json`: switches that were put aside, fields that have no effect."""
    data = checkpoint.config
    family = family_of(data["model_type"])
    aside = [name for name, plain in SWITCHES.items() if data.get(name) is not None and data[name] not in plain]
    unknown = [name for name in _unknown(data, family) if data[name] not in (None, False, {}, [], "")]
    said = []
    if aside:
        said.append(f"switches of config.json say how a model is run, and were put aside: {names(aside, most=12)}")
    if unknown:
        said.append(f"fields of config.json that transformers does not know for a {family.model_type} model have no "
                    f"effect: {names(unknown, most=8)}")  # fmt: skip
    if _contradicted(data.get("id2label") or {}, data.get("label2id") or {}):
        said.append("'id2label' and 'label2id' of config.json contradict each other: 'id2label' is taken")
    return tuple(said)


def _contradicted(by_number: Mapping[str, Any], by_name: Mapping[str, Any]) -> bool:
    """Whether a label has another number in the one than in the other."""
    return any(name in by_name and str(by_name[name]) != str(number) for number, name in by_number.items())


def _unknown(data: Mapping[str, Any], family: Family) -> list[str]:
    """Fields that neither the family's configuration has, nor the code of its models reads."""
    from transformers import CONFIG_MAPPING
    from transformers.generation.configuration_utils import GenerationConfig

    stock = CONFIG_MAPPING[family.model_type]()
    known = {*PLAIN, *SWITCHES, *stock.attribute_map, *stock.to_dict(), *vars(stock)}
    known |= GenerationConfig._get_default_generation_params().keys()
    code = _code_of(type(stock).__module__)
    return [name for name in data if name not in known and name not in code]


@cache
def _code_of(module: str) -> str:
    """Text of the modules of a family, which read some fields by `getattr` alone, or make others of them."""
    both = (module, module.replace("configuration_", "modeling_"))
    return "".join(inspect.getsource(importlib.import_module(name)) for name in both)


Mistake = tuple[str, Any, str | None]
"""What is wrong, the value, what to do."""


def _problems(data: Mapping[str, Any], family: Family, stock: Any) -> Iterator[Mistake]:
    """What no model can have, and what would make another function of the checkpoint's weights."""
    yield from _foreign_functions(data, family, {field.name for field in dataclasses.fields(stock)})
    yield from _labels(data)
    yield from _sizes(data, family)
    yield from _token_ids(data)
    problem = data.get("problem_type")
    if problem is not None and problem not in get_args(Problem):
        yield "'problem_type' of config.json is none of transformers", problem, f"one of {get_args(Problem)}"
    architectures = data.get("architectures")
    if architectures is not None and not _is_list_of_names(architectures):
        yield "'architectures' of config.json is a list of names of classes", architectures, None
    for name in ("dtype", "torch_dtype"):
        if data.get(name) is not None and str(data[name]).removeprefix("torch.") not in TYPES:
            yield f"{name!r} of config.json is no type that weights are opened in", data[name], f"one of {TYPES}"
    quantized = data.get("quantization_config")
    if quantized is not None and not isinstance(quantized, dict):
        yield "'quantization_config' of config.json is not an object", quantized, None


def _foreign_functions(data: Mapping[str, Any], family: Family, fields: set[str]) -> Iterator[Mistake]:
    from transformers.activations import ACT2FN

    positions = data.get("position_embedding_type")
    if positions not in (None, "absolute") and "position_embedding_type" not in fields:
        yield (
            f"config.json asks for positions of the type {positions!r}, which transformers does not compute for a "
            f"{family.model_type} model: it would compute another function than this checkpoint, and say nothing",
            positions,
            "name a checkpoint with absolute positions",
        )
    if data.get("auto_map") and "trimformer" not in data:
        yield (
            "the checkpoint computes with code of its own, which is never run here; the classes of transformers would "
            "compute another function of its weights",
            data["auto_map"],
            "name a checkpoint that transformers opens without trust_remote_code",
        )
    if data.get("pruned_heads"):
        yield (
            "heads of this model were pruned by transformers 4, which left their numbers in 'pruned_heads'; "
            "transformers 5 cannot open that",
            data["pruned_heads"],
            "name the checkpoint before the pruning, and prune it here: `prune: {pattern: heads, ...}`",
        )
    if data.get("per_layer_config"):
        yield (
            "layers of different configurations ('per_layer_config') are not supported",
            data["per_layer_config"],
            None,
        )
    for name in ACTIVATIONS:
        given = data.get(name)
        if given is not None and (not isinstance(given, str) or given not in ACT2FN):
            yield f"{name!r} of config.json is no activation function of transformers", given, None


def _labels(data: Mapping[str, Any]) -> Iterator[Mistake]:
    given = data.get("id2label")
    advice = 'write it as {"0": "first label", "1": "second label"}'
    if given is not None:
        if not isinstance(given, dict):
            yield f"'id2label' of config.json is a {type(given).__name__}, and not an object", given, advice
        elif sorted(map(str, given)) != sorted(map(str, range(len(given)))):
            yield "'id2label' of config.json does not number its labels 0, 1, 2, ...", given, advice
        elif not all(isinstance(label, (str, int, float)) for label in given.values()):
            yield "the labels in 'id2label' of config.json are not all names", given, advice
    if not isinstance(data.get("label2id") or {}, dict):
        yield "'label2id' of config.json is not an object", data["label2id"], 'write it as {"first label": 0}'
    count = data.get("num_labels")
    if count is not None and (not _is_number(count) or not 1 <= count <= MOST_UNITS):
        yield "'num_labels' of config.json is no number of labels", count, None


def _sizes(data: Mapping[str, Any], family: Family) -> Iterator[Mistake]:
    layers = {family.config["layers"], "num_hidden_layers", "decoder_layers", "num_decoder_layers"}
    units = {family.config[name] for name in ("heads", "hidden")} | {family.config.get("neurons", "hidden_size")}
    units |= {"vocab_size", "max_position_embeddings", "embedding_size", "num_attention_heads"}
    for name in sorted(layers | units):
        given, most = data.get(name), MOST_LAYERS if name in layers else MOST_UNITS
        if given is not None and (not _is_number(given) or not 1 <= given <= most):
            yield f"{name!r} of config.json is not a number from 1 to {most}", given, None
    hidden, heads = data.get(family.config["hidden"]), data.get(family.config["heads"])
    free = family.config.get("head_size", "head_dim") in data or "trimformer" in data
    if hidden and heads and not free and hidden % heads:
        yield f"config.json has a hidden size of {hidden}, which its {heads} heads do not divide", None, None


def _token_ids(data: Mapping[str, Any]) -> Iterator[Mistake]:
    """Ids that a forward pass reads, within the vocabulary; a padding id below 0 counts from its end."""
    entries = data.get("vocab_size")
    within = entries if isinstance(entries, int) else MOST_UNITS
    for name, least in (("pad_token_id", -MOST_UNITS), ("decoder_start_token_id", 0), ("eos_token_id", -MOST_UNITS)):
        given = data.get(name)
        several = given if isinstance(given, list) and name == "eos_token_id" else [given]
        most = MOST_UNITS if name == "eos_token_id" else within
        if given is not None and not all(isinstance(one, int) and least <= one < most for one in several):
            yield f"{name!r} of config.json is no id of a token of its vocabulary", given, None


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
