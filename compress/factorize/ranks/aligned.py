"""A share of each matrix's own parameters, in ranks that fill a kernel's tiles."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated

from pydantic import Field
from torch import Tensor

from compress.core.model.linears import Place
from compress.core.values import Count
from compress.factorize.rank import Rank, above_full_rank

__all__ = ["Aligned", "aligned_rank"]


class Aligned(Rank):
    """Aligned ranks: as `ratio`, rounded down to a multiple, which fills the tiles and vectors of matrix kernels.

    r = m * floor(ratio * out * in / (out + in) / m), at least m. Kernels compute whole tiles: m = 8 fills the 16 bytes
    that tensor cores read at once in fp16, 16 those in int8, and 16 a vector of AVX-512 in fp32.

    References:
        NVIDIA 2023, Matrix Multiplication Background User's Guide, section 3 (Tensor Core requirements).
    """

    ratio: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="share of the parameters kept, at most; one multiple may be more"
    )
    multiple: Count = Field(8, description="m: every rank is a multiple of it")

    def refuses(self, places: Sequence[Place]) -> str | None:
        what = f"a rank of {self.multiple}, the least multiple of {self.multiple},"
        return above_full_rank(places, self.multiple, what=what, advice=lambda _: "choose a smaller `multiple`")

    def ranks(self, places: Sequence[Place], spectra: Sequence[Tensor]) -> tuple[int, ...]:
        share = Fraction(str(self.ratio))
        return tuple(aligned_rank(place.shape, share=share, multiple=self.multiple) for place in places)


def aligned_rank(shape: tuple[int, int], *, share: Fraction, multiple: int) -> int:
    """The largest multiple at which two factors have at most this share of the matrix's parameters; one at the least.

    Args:
        shape: (out, in) of the matrix.
        share: of its parameters, between 0 and 1.
        multiple: of which the rank is one.

    Example:
        >>> aligned_rank((768, 768), share=Fraction(1, 2), multiple=8)
        192
        >>> aligned_rank((3072, 768), share=Fraction(1, 2), multiple=8)  # of 307
        304
    """
    outputs, inputs = shape
    return multiple * max(1, int(share * outputs * inputs / (outputs + inputs)) // multiple)
