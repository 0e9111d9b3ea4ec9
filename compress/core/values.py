"""Settings: frozen, hashable values with strict keys, of which a recipe is made, and their types."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

__all__ = [
    "OR_NONE",
    "Count",
    "Fraction",
    "FrozenMapping",
    "Name",
    "NamedFile",
    "NamesFile",
    "Positive",
    "Seed",
    "Settings",
    "Share",
]

Count = Annotated[int, Field(strict=True, ge=1, lt=2**31)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.\-]*$", max_length=64)]


class NamesFile:
    """Marks the type of a setting that names a file or directory; in a recipe's file a relative path lies beside it."""


NamedFile = Annotated[str, NamesFile()]


def _pairs(value: Any) -> Any:
    return tuple(sorted(value.items())) if isinstance(value, dict) else value


FrozenMapping = Annotated[
    tuple[tuple[str, Any], ...],
    BeforeValidator(_pairs),
    PlainSerializer(dict),
]
"""A mapping kept as sorted pairs, so that the value that holds it can be hashed; written as a mapping."""


def _none(value: Any) -> Any:
    return None if value == "none" else value


OR_NONE = BeforeValidator(_none)
"""For a field that may be None and has another default: `none` in a recipe is None."""


class Settings(BaseModel):
    """Frozen value: unknown keys are errors; equal settings are equal and have equal hashes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def usual(cls) -> Settings | None:
        """What settings that are left out become, where their own defaults do not say it."""
        return None

    def dump(self) -> dict[str, Any]:
        """Plain data (lists, mappings, scalars) of what differs from the defaults; reads back to an equal value."""
        return self.model_dump(mode="json", exclude_defaults=True, by_alias=True)
