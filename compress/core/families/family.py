"""Model families: one record for each, with the paths of its modules. Family names are used nowhere else."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Literal

from torch import nn

from compress.core.errors import Refusal, UnknownName
from compress.core.families.conversion import Conversion

__all__ = ["CHANGED_PREFIX", "Family", "Part", "base_model", "families", "family_of", "has", "stock_type"]

Part = Literal["heads", "neurons", "layers", "width", "blocks", "vocabulary", "positions"]

CHANGED_PREFIX = "trimformer_"


@dataclass(frozen=True)
class Family:
    """Module paths of a model family, dotted and relative to the base model, or to one block.

    A role that the family does not have is None. `refusals` gives, by part, why stages cannot work on it: the text
    completes the sentence "<stage> cannot work on the heads of a <model type> model: ...".
    """

    model_type: str
    blocks: str = ""
    """The ModuleList of the blocks, from the base model."""
    stack: str = ""
    """Name of the stack of its blocks (`encoder`), where there are several stacks."""
    further: tuple[Family, ...] = ()
    """Records of the other stacks: a decoder's blocks, and once more for their cross-attention. Their heads and neurons
    are pruned as the first stack's are; the other methods work on the first stack."""
    query: str | None = None
    key: str | None = None
    value: str | None = None
    output: str | None = None
    """The linear after attention; its input is the concatenated heads."""
    up: str | None = None
    gate: str | None = None
    down: str | None = None
    """The second linear of the feed-forward network; its inputs are the neurons. A path may be `a|b`: either."""
    attention: tuple[str, ...] = ()
    """Modules of a block that are its attention sub-layer, with its norm; the rest is the feed-forward sub-layer."""
    feed_forward_norm: str | None = None
    """The norm after the sum of the feed-forward network and its residual (post-LN); None for pre-LN blocks."""
    stacked: Mapping[str, int] = field(default_factory=dict)
    """Path of a fused linear -> number of matrices that its output rows hold one after the other (GPT-2's `c_attn`: 3).
    """
    interleaved: Mapping[str, int] = field(default_factory=dict)
    """Path of a fused linear -> number of matrices that are fused head by head in its output (DeBERTa's `in_proj`)."""
    feed_forward_order: tuple[str, str] = ("gate", "up")
    """Order of the two where `up` and `gate` are fused; `gate` is the one that enters the activation function."""
    biases_of_head: tuple[str, ...] = ()
    """Further linears of a block whose output is the concatenated heads (DeBERTa-v2's position projections), and bare
    parameters with one entry for each of these outputs (DeBERTa's `q_bias`). What a model lacks is skipped."""
    head_attributes: Mapping[str, Literal["heads", "width"]] = field(default_factory=dict)
    """Attributes of a block that hold the number of heads, or heads times head size, and that forward uses."""
    needs_first_layer: str | None = None
    """Why the first block must stay (T5's holds the position bias of all), or None where any may be removed."""
    one_set_of_heads: bool = False
    """All blocks of the stack share one position bias per head, so all must keep the same heads."""
    shared_head_table: str | None = None
    """The embedding (positions x heads) that all blocks share, from the base model."""
    embeddings: str | None = None
    """The module that holds all input embeddings, from the base model."""
    encoder: str = ""
    """The module that takes the input and runs the blocks, from the base model; the base model itself unless given."""
    decoder: str | None = None
    """The module with cross-attention to the encoder's outputs, from the base model."""
    leading_tokens: int = 1
    """Special tokens at the start of every input, such as [CLS], which a head uses by their position."""
    word_embedding: str | None = None
    segment_embedding: str | None = None
    """The embedding of the input `token_type_ids`, from the base model."""
    position_embedding: str | None = None
    positions_if: str | None = None
    """Field of the configuration without which there are no position embeddings."""
    decoder_positions: str | None = None
    """The decoder's own position embeddings, from the base model."""
    position_offset: int = 0
    """Rows of the position embeddings before the first position, which the configuration does not count."""
    positions_from_padding: bool = False
    """Position ids begin at the padding id + 1, so that some rows of the position embeddings are unused, and the
    padding must keep its id."""
    padding_id: int | None = None
    """The padding id, where the code fixes it; the configuration's unless given."""
    head_token: Literal["first", "last", "end"] = "first"
    """The token whose hidden state the head for texts reads: the first (or all); the last whose id is not the
    configuration's padding id; or the last whose id is the configuration's `eos_token_id`, of which all rows of a batch
    must have equally many."""
    config: Mapping[str, str] = field(
        default_factory=lambda: {
            "layers": "num_hidden_layers",
            "heads": "num_attention_heads",
            "neurons": "intermediate_size",
            "hidden": "hidden_size",
        }
    )
    """Names of fields of the configuration: `layers`, `heads`, `hidden`; `positions` where it is not
    `max_position_embeddings`; `neurons` and `head_size` where one number for all blocks can be written there;
    `layer_lists` for fields (comma-separated) with one entry per layer; `same_width` for fields (comma-separated) that
    are the hidden size where they are equal to it."""
    head_modules: tuple[str, ...] = ("classifier", "score", "pooler", "pre_classifier", "classification_head", "head")
    """Names of modules that belong to the task's head, anywhere in the model."""
    bias_fields: tuple[str, ...] = ()
    """Fields of the configuration that give linears and norms a bias, where checkpoints of the family come without."""
    bare_linears: bool = False
    """The linears of the blocks have no bias, and no field of the configuration can give them one."""
    bf16: bool = True
    """Whether its forward pass runs under bf16 autocast."""
    made_from: Mapping[str, Conversion] = field(default_factory=dict)
    """Source family, whose models can be converted to this one -> the module map."""
    refusals: Mapping[Part, str] = field(default_factory=dict)
    remark: str = ""
    """Remark in the table of families; a sentence without its full stop."""

    def require(self, part: Part, *, stage: str) -> None:
        """Raise `Refusal` where the part is not defined for this family."""
        if part in self.refusals:
            raise Refusal(
                f"{stage} cannot work on the {part} of a {self.model_type} model: {self.refusals[part]}",
                advice="'trimformer list families' shows what works on which family",
            )

    def refuses(self, part: Part, *, stage: str) -> str | None:
        """Why the stage cannot work on the part, in words, or None."""
        try:
            self.require(part, stage=stage)
        except Refusal as error:
            return str(error)
        return None

    def module_list(self, model: nn.Module) -> nn.ModuleList:
        """The blocks of `model` (with or without a task's head)."""
        return attrgetter(self.blocks)(base_model(model))

    def block_parts(self, model: nn.Module, role: str) -> Iterator[nn.Module]:
        """The module of `role` (`query`, `down`, ...) in each block, first block first."""
        return (self.part(block, role) for block in self.module_list(model))

    def stacks(self, model: nn.Module, role: str) -> Iterator[Family]:
        """This record and the further ones, of those the ones whose blocks have `role` in such a model."""
        base = base_model(model)
        for record in (self, *self.further):
            if getattr(record, role) and has(base, record.blocks):
                blocks = record.module_list(model)
                if len(blocks) and has(blocks[0], record.path(blocks[0], role)):
                    yield record

    def groups(self, model: nn.Module, role: str) -> Iterator[tuple[nn.Module, Family]]:
        """Every block of every stack that has `role`, with the record of its paths."""
        for record in self.stacks(model, role):
            yield from ((block, record) for block in record.module_list(model))

    def part(self, block: nn.Module, role: str) -> nn.Module:
        """The module of `role` in one block."""
        return attrgetter(self.path(block, role))(block)

    def path(self, block: nn.Module, role: str) -> str:
        """The path of `role` in `block`; of alternatives the one that exists."""
        paths = (getattr(self, role) or "").split("|")
        return next((path for path in paths if has(block, path)), paths[0])

    def head_size(self, config: object) -> int:
        """Size of one attention head; the same before and after heads or the hidden size are pruned."""
        given = getattr(config, self.config.get("head_size", "head_dim"), None)
        built = (getattr(config, "trimformer", None) or {}).get("config", {})
        field = self.config["hidden"]
        return int(given or built.get(field, getattr(config, field)) // getattr(config, self.config["heads"]))


def has(module: nn.Module, path: str) -> bool:
    """Whether the dotted `path` exists in `module`, and is not None.

    Args:
        module: any module.
        path: of attributes.
    """
    try:
        return attrgetter(path)(module) is not None
    except AttributeError:
        return False


def base_model(model: nn.Module) -> nn.Module:
    """The model without its task's head."""
    return getattr(model, "base_model", model)


def stock_type(model_type: str) -> str:
    """The family's own `model_type`, without the prefix `trimformer_` of a changed architecture."""
    return model_type.removeprefix(CHANGED_PREFIX)


@cache
def families() -> dict[str, Family]:
    """Model type -> record, of every family, sorted by name."""
    package = importlib.import_module("compress.core.families")
    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules(package.__path__, prefix=f"{package.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Family):
                found[value.model_type] = value
    return dict(sorted(found.items()))


def family_of(model_type: str) -> Family:
    """The record of `model_type` (`config.model_type`).

    Raises:
        UnknownName: there is none; the error names the closest.
    """
    known = families()
    name = stock_type(model_type)
    if name not in known:
        raise UnknownName("model family", name, known)
    return known[name]
