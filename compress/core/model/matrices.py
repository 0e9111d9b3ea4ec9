"""Weight matrices of a model's blocks, by the names of their parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from compress.core.families.family import Family, base_model, has
from compress.core.model.bundle import Bundle
from compress.core.model.linears import role_paths
from compress.core.model.matrix import matrix
from compress.core.model.wrapping import unwrapped

__all__ = ["Excerpt", "Matrix", "as_stored", "block_matrices", "first_stack"]


@dataclass(frozen=True)
class Matrix:
    """Weight matrix of one linear of a block.

    Attributes:
        linear: the module.
        roles: in its block (`query`, `up`, ...); several where the family fuses them in one linear.
        block: index of the block in its stack, from 0.
        stack: `encoder`, `decoder`, ... as the family calls it; '' where there is one.
    """

    linear: nn.Module
    roles: tuple[str, ...]
    block: int
    stack: str = ""

    @property
    def role(self) -> str:
        """Its role; of a fused linear the first one."""
        return self.roles[0]

    @property
    def place(self) -> tuple[str, int]:
        return self.stack, self.block

    @property
    def type(self) -> str:
        """Its role, in its stack."""
        return f"{self.stack} {self.role}".strip()

    @property
    def weight(self) -> Tensor:
        """(out, in), as a view."""
        return matrix(self.linear).detach()


@dataclass
class Excerpt(Bundle):
    """The same model, restricted to some of the blocks' matrices."""

    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, bundle: Bundle, names: Collection[str]) -> Excerpt:
        return cls(**vars(bundle), names=frozenset(names))


def block_matrices(bundle: Bundle) -> dict[str, Matrix]:
    """Name of a weight -> its matrix, of every linear that has a role in a block, first block first; a decoder's come
    after the encoder's, and then those of its attention to the encoder.

    Embeddings, biases, norms, the pooler and the head are none: Chen et al. 2020 (arXiv 2007.12223) leave them too,
    except for the pooler.
    """
    names = {id(module): path for path, module in bundle.model.named_modules()}
    found: dict[str, Matrix] = {}
    for block, number, record in _blocks(bundle):
        for path, roles in role_paths(block, record):
            linear = block.get_submodule(path)
            # What several blocks share is the first one's.
            found.setdefault(f"{names[id(linear)]}.weight", Matrix(unwrapped(linear), roles, number, record.stack))
    return {n: part for n, part in found.items() if n in bundle.names} if isinstance(bundle, Excerpt) else found


def first_stack(bundle: Bundle) -> dict[str, Matrix]:
    """`block_matrices` of the first stack alone: of an encoder-decoder, the encoder's."""
    return {name: part for name, part in block_matrices(bundle).items() if part.stack == bundle.family.stack}


def _blocks(bundle: Bundle) -> Iterator[tuple[nn.Module, int, Family]]:
    """Every block with its index in its stack, and the family's record of its parts."""
    for record in (bundle.family, *bundle.family.further):
        if has(base_model(bundle.model), record.blocks):
            yield from ((block, n, record) for n, block in enumerate(record.module_list(bundle.model)))


def as_stored(matrices: Mapping[str, Matrix], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of (out, in) in the layout of each linear's weight; applied twice it gives (out, in) again.

    Args:
        matrices: name -> weight matrix.
        tensors: name -> tensor of (out, in), for some of the names.
    """
    return {name: matrix(matrices[name].linear, tensor).contiguous() for name, tensor in tensors.items()}
