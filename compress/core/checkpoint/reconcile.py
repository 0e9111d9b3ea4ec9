"""Agreement of a tokenizer and a model on the tokens that a head looks for: the padding, and the end of a text."""

from __future__ import annotations

from typing import Any

from compress.core.errors import InputError, shown
from compress.core.families.family import Family
from compress.core.model.embeddings import padding_id

__all__ = ["reconciled"]


def reconciled(tokenizer: Any, config: Any, family: Family) -> tuple[str, ...]:
    """Let tokenizer and configuration name one padding id, on the right side, in place; remarks for the user.

    A head that looks for the last token asks the configuration which id is padding, and the tokenizer writes it: where
    they differ, the answers to a row depend on the others of its batch.

    Args:
        tokenizer: or None, or an image processor, which have no padding.
        config: of the model.
        family: of the model.

    Raises:
        InputError: positions are counted from the padding id, or the head reads the end token, and config.json has no
            such id, or several.
    """
    _check_ids(config, family)
    if not hasattr(tokenizer, "pad_token_id"):
        return ()
    return (*_side(tokenizer, family), *_id(tokenizer, config, family))


def _check_ids(config: Any, family: Family) -> None:
    needed = (
        {"pad_token_id": "counts positions from it"}
        if family.positions_from_padding and family.padding_id is None
        else {}
    )
    needed |= {"eos_token_id": "reads the answer at it"} if family.head_token == "end" else {}
    for name, why in needed.items():
        found = getattr(config, name, None)
        if isinstance(found, list | tuple) and len(found) == 1:
            setattr(config, name, found[0])
        elif not isinstance(found, int):
            raise InputError(
                f"config.json names {'no' if found is None else 'several'} {name}, and a {family.model_type} model "
                f"{why}",
                given=found,
                advice=f"set {name} to the id that the model was trained with",
            )


def _side(tokenizer: Any, family: Family) -> tuple[str, ...]:
    if tokenizer.padding_side != "left":
        return ()
    tokenizer.padding_side = "right"
    return (
        f"the tokenizer pads on the left, where a {family.model_type} model counts positions from the padding or its "
        "head reads it: it pads on the right here, and in what is saved",
    )


def _id(tokenizer: Any, config: Any, family: Family) -> tuple[str, ...]:
    theirs, ours = getattr(config, "pad_token_id", None), tokenizer.pad_token_id
    if family.positions_from_padding:
        theirs = padding_id(config, family)
    if ours is None and isinstance(theirs, int) and 0 <= theirs < len(tokenizer):
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(theirs)
        return (f"the tokenizer names no padding token: it takes that of config.json, {shown(tokenizer.pad_token)}",)
    if ours is None or ours == theirs:
        return ()
    if family.positions_from_padding:
        return ()  # no id can be changed: whoever has rows refuses
    config.pad_token_id = ours
    if theirs is None and family.head_token != "last":
        return ()
    named = "no padding id" if theirs is None else f"the padding id {theirs}"
    return (f"config.json names {named}, and the tokenizer pads with {ours}, which is taken",)
