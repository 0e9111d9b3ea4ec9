"""The matrices of a model's blocks, by the names of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from compress.core.bundle import Bundle
from compress.core.families.family import has
from compress.core.matrix import matrix
from compress.core.wrapped import unwrapped

__all__ = ["Matrix", "as_stored", "block_matrices"]

ROLES = ("query", "key", "value", "output", "up", "gate", "down")


@dataclass(frozen=True)
class Matrix:
    """One linear of a block.

    Attributes:
        linear: holds the weight.
        role: what it is in its block; of a fused one the first of its roles.
        block: the number of the block.
    """

    linear: nn.Module
    role: str
    block: int

    @property
    def weight(self) -> Tensor:
        """(out, in), as a view."""
        return matrix(self.linear).detach()


def block_matrices(bundle: Bundle) -> dict[str, Matrix]:
    """Name of a weight -> its matrix, of every linear that has a role in a block of the first stack, first block first.

    Embeddings, biases, norms, the pooler and the head are none: Chen et al. 2020 (arXiv 2007.12223) leave them too,
    except for the pooler.
    """
    names = {id(module): path for path, module in bundle.model.named_modules()}
    found: dict[str, Matrix] = {}
    for number, block in enumerate(bundle.family.module_list(bundle.model)):
        for role in ROLES:
            if not getattr(bundle.family, role) or not has(block, bundle.family.path(block, role)):
                continue
            linear = bundle.family.part(block, role)
            found.setdefault(f"{names[id(linear)]}.weight", Matrix(unwrapped(linear), role, number))
    return found


def as_stored(matrices: Mapping[str, Matrix], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of (out, in), each as its linear stores its weight; of such tensors, (out, in) again."""
    return {name: matrix(matrices[name].linear, tensor).contiguous() for name, tensor in tensors.items()}
