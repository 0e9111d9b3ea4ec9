"""Target linears of an adaptation: by role (`query`), by name (`c_attn`), or `all` of the blocks."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from torch import nn

from compress.core.errors import InputError, Refusal, UnknownName
from compress.core.families.family import Family, base_model, has
from compress.core.model.bundle import Bundle
from compress.core.model.linears import is_linear
from compress.core.model.sketch import Sketch
from compress.core.model.wrapping import linear_shape, unwrapped

__all__ = ["ALL", "ROLES", "Targets", "check_rank", "narrowest", "rank_refusal", "target_linears"]

ALL = "all"
ATTENTION, FEED_FORWARD = ("query", "key", "value", "output"), ("up", "gate", "down")
ROLES = (*ATTENTION, *FEED_FORWARD)


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Targets = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed), Field(min_length=1)]
"""Roles, names of linears (the end of their path), or `all`; one may be given without a list."""


def target_linears(bundle: Bundle, targets: tuple[str, ...]) -> dict[str, nn.Module]:
    """Linears of the base that `targets` names, path -> linear, in the model's order.

    A role that the family fuses with others gives the fused linear. Names match every linear outside of the head, a
    decoder's too; roles and `all` those of the family's blocks.

    Args:
        bundle: the model.
        targets: roles, ends of paths, or `all`.

    Raises:
        UnknownName: a target matches nothing.
        Refusal: such a linear is wrapped already.
    """
    linears = _linears(bundle)
    found = set().union(*(_matches(bundle, target, linears) for target in targets))
    targeted = {path: linear for path, linear in linears.items() if path in found}
    for path, linear in targeted.items():
        if unwrapped(linear) is not linear:
            raise Refusal(
                f"something was put around {path} before",
                given=f"{type(linear).__module__}.{type(linear).__name__}",
                advice="merge what was tuned before, or choose other targets",
            )
    return targeted


def narrowest(sketch: Sketch, targets: tuple[str, ...]) -> int:
    """Smallest dimension, as far as a sketch has it, of the linears in these roles; of names the hidden size.

    Args:
        sketch: of the model.
        targets: roles, names, or `all`.
    """
    widths = [sketch.hidden]
    if {ALL, *ATTENTION} & set(targets):
        widths += [heads * sketch.head_size for heads in sketch.block_heads]
    if {ALL, *FEED_FORWARD} & set(targets):
        widths += sketch.block_neurons
    return min(widths)


def rank_refusal(sketch: Sketch, targets: tuple[str, ...], rank: int) -> str | None:
    """Why a rank is too large for the targets, or None.

    Args:
        sketch: of the model.
        targets: roles, names, or `all`.
        rank: of the update, from 1.
    """
    width = narrowest(sketch, targets)
    return f"a rank of {rank} is above the width of what it updates, {width}; choose less" if rank > width else None


def check_rank(linears: dict[str, nn.Module], rank: int) -> None:
    """Raise `InputError` where `rank` exceeds a dimension of a linear.

    Args:
        linears: path -> linear.
        rank: of the update, from 1.
    """
    for path, linear in linears.items():
        if rank > min(linear_shape(linear)):
            raise InputError(
                f"the rank is above the width of {path}, which is {' x '.join(map(str, linear_shape(linear)))}",
                given=rank,
                advice=f"choose at most {min(linear_shape(linear))}, or leave this target out",
            )


def _linears(bundle: Bundle) -> dict[str, nn.Module]:
    """Path -> linear, or what stands around it, of the base without the parts that belong to a head."""
    base = base_model(bundle.model)
    inside = {id(module) for module in base.modules()}
    head = set(bundle.family.head_modules)
    found: dict[str, nn.Module] = {}
    around: set[int] = set()
    for path, module in bundle.model.named_modules():
        if id(module) in inside and id(module) not in around and is_linear(unwrapped(module)):
            around |= {id(part) for part in module.modules()}
            if not head & set(path.split(".")):
                found[path] = module
    return found


def _matches(bundle: Bundle, target: str, linears: dict[str, nn.Module]) -> set[str]:
    roles = _roles(bundle, linears)
    by_name = {path for path in linears if path == target or path.endswith(f".{target}")}
    found = roles.get(target) or by_name
    if not found:
        names = {".".join(path.split(".")[-2:]) for path in linears} | {path.split(".")[-1] for path in linears}
        raise UnknownName("target", target, {*roles, *names})
    return found


def _roles(bundle: Bundle, linears: dict[str, nn.Module]) -> dict[str, set[str]]:
    """Role -> paths, of the roles that the family has, and `all`."""
    model, family = bundle.model, bundle.family
    path_of = {id(module): path for path, module in linears.items()}
    blocks = {id(module) for block in family.module_list(model) for module in block.modules()}
    roles = {
        role: {path_of[id(module)] for module in family.block_parts(model, role)} for role in _present(family, model)
    }
    return {**roles, ALL: {path for path, module in linears.items() if id(module) in blocks}}


def _present(family: Family, model: nn.Module) -> list[str]:
    """Roles whose linear is there in every block; T5's `gate` depends on the configuration."""
    blocks = list(family.module_list(model))
    return [role for role in ROLES if getattr(family, role) and all(has(b, family.path(b, role)) for b in blocks)]
