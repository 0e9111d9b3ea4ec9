"""The matrices of a model's blocks, by the names of their parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from compress.core.bundle import Bundle
from compress.core.families.family import has
from compress.core.matrix import matrix
from compress.core.places import ROLES
from compress.core.wrapped import unwrapped

__all__ = ["Excerpt", "Matrix", "as_stored", "block_matrices"]


@dataclass(frozen=True)
class Matrix:
    """One linear of a block.

    Attributes:
        linear: holds the weight.
        roles: what it is in its block; several where the family fuses them in one linear.
        block: the number of the block.
    """

    linear: nn.Module
    roles: tuple[str, ...]
    block: int

    @property
    def role(self) -> str:
        """Of a fused one the first of its roles."""
        return self.roles[0]

    def also(self, other: Matrix) -> Matrix:
        """With the roles that the same linear has further on in the same block."""
        return replace(self, roles=(*self.roles, *other.roles)) if self.block == other.block else self

    @property
    def weight(self) -> Tensor:
        """(out, in), as a view."""
        return matrix(self.linear).detach()


@dataclass
class Excerpt(Bundle):
    """The same model, of which only some of the blocks' matrices are looked at."""

    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, bundle: Bundle, names: Collection[str]) -> Excerpt:
        return cls(**vars(bundle), names=frozenset(names))


def block_matrices(bundle: Bundle) -> dict[str, Matrix]:
    """Name of a weight -> its matrix, of every linear that has a role in a block of the first stack, first block first.

    Embeddings, biases, norms, the pooler and the head are none: Chen et al. 2020 (arXiv 2007.12223) leave them too,
    except for the pooler.
    """
    names = {id(module): path for path, module in bundle.model.named_modules()}
    family, found = bundle.family, dict[str, Matrix]()
    for number, block in enumerate(family.module_list(bundle.model)):
        for role in ROLES:
            if getattr(family, role) and has(block, family.path(block, role)):
                linear = family.part(block, role)
                name, one = f"{names[id(linear)]}.weight", Matrix(unwrapped(linear), (role,), number)
                found[name] = found[name].also(one) if name in found else one
    return {n: part for n, part in found.items() if n in bundle.names} if isinstance(bundle, Excerpt) else found


def as_stored(matrices: Mapping[str, Matrix], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of (out, in), each as its linear stores its weight; of such tensors, (out, in) again."""
    return {name: matrix(matrices[name].linear, tensor).contiguous() for name, tensor in tensors.items()}
