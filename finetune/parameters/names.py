"""Names of a model's parameters by kind: of the head, biases, norms."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from compress.core.families.family import base_model
from compress.core.model.bundle import Bundle

__all__ = ["bias_names", "head_names", "norm_names", "role_biases"]


def head_names(bundle: Bundle) -> frozenset[str]:
    """Parameters of the task's head: all outside of the base model, and what of it the checkpoint lacked (a pooler)."""
    base = {id(parameter) for parameter in base_model(bundle.model).parameters()}
    outside = {name for name, parameter in bundle.model.named_parameters() if id(parameter) not in base}
    return frozenset(outside | (bundle.fresh & set(dict(bundle.model.named_parameters()))))


def bias_names(bundle: Bundle) -> frozenset[str]:
    """Parameters that are biases: of linears, convolutions and norms, and bare ones (DeBERTa's `q_bias`)."""
    return frozenset(name for name, _ in bundle.model.named_parameters() if name.rsplit(".")[-1].endswith("bias"))


def norm_names(bundle: Bundle) -> frozenset[str]:
    """Gains, and where there are any shifts, of all norms."""
    return frozenset(
        f"{path}.{name}"
        for path, module in bundle.model.named_modules()
        if type(module).__name__.lower().endswith("norm")
        for name, _ in module.named_parameters(recurse=False)
    )


def role_biases(bundle: Bundle, *roles: str) -> frozenset[str]:
    """Biases of the linears in some roles, in every block of the family.

    Args:
        bundle: the model.
        roles: `query`, `up`, ...
    """
    wanted = {id(bias) for role in roles for bias in _biases(bundle, role)}
    return frozenset(name for name, parameter in bundle.model.named_parameters() if id(parameter) in wanted)


def _biases(bundle: Bundle, role: str) -> Iterator[nn.Parameter]:
    for linear in bundle.family.block_parts(bundle.model, role):
        bias = getattr(linear, "bias", None)
        if isinstance(bias, nn.Parameter):
            yield bias
