"""Changes: the surgery of a stage as plain data, applied to a model, also on the meta device and after a reload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr, SerializeAsAny
from torch import Tensor
from typing_extensions import Self

from compress.core.choice import snake_case
from compress.core.errors import UnknownName
from compress.core.values import Settings

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from compress.core.model.sketch import Sketch

__all__ = ["Change", "Nothing", "Recorded", "Several", "change_from_data"]

_KINDS: dict[str, type[Change]] = {}


class Tensors(dict[str, Tensor]):
    """Tensors by name, equal where all are: changes are compared by them, and == of a tensor gives no bool."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and self.keys() == other.keys() and all(self[n].equal(other[n]) for n in self)

    def __ne__(self, other: object) -> bool:
        return not self == other


class Change(Settings):
    """Change of a model as plain data: kept layers, heads, neurons, ranks. On equal models it gives equal models.

    What is too large for plain data (a mask of the weights) is carried as tensors beside it. They are not written into
    a model's history, since the model's masks hold the same; a change that was read from there has none.
    """

    kind: ClassVar[str] = ""
    _tensors: Tensors = PrivateAttr(default_factory=Tensors)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = snake_case(cls.__name__)
        _KINDS[cls.kind] = cls

    def apply(self, bundle: Bundle) -> Bundle:
        """The changed bundle. The model is changed in place; nothing is computed that needs data or real weights."""
        raise NotImplementedError

    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors beside its plain data, by name."""
        return self._tensors

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """The same plain data with these tensors."""
        new = self.model_copy()
        new._tensors = Tensors(tensors)
        return new

    def summary(self, before: Sketch) -> dict[str, Any]:
        """For the report: what was removed from a model of the shapes `before`."""
        return {}

    def data(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.model_dump(mode="json")}


class Nothing(Change):
    """No change: the model's structure stays as it is."""

    def apply(self, bundle: Bundle) -> Bundle:
        return bundle


class Several(Change):
    """Sequence of changes; each enters a bundle's history by itself."""

    steps: tuple[SerializeAsAny[Change], ...]

    def apply(self, bundle: Bundle) -> Bundle:
        for step in self.steps:
            bundle = step.apply(bundle)
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {name: value for step in self.steps for name, value in step.summary(before).items()}


class Recorded(Change):
    """Change of a kind that no imported package defines, as it was recorded: it stays in the history, and in the next
    record, and cannot be applied again.
    """

    told: dict[str, Any]

    def apply(self, bundle: Bundle) -> Bundle:
        raise UnknownName("kind of change", str(self.told.get("kind")), _KINDS)

    def data(self) -> dict[str, Any]:
        return dict(self.told)


def change_from_data(data: dict[str, Any]) -> Change:
    """Inverse of `Change.data`."""
    settings = dict(data)
    kind = settings.pop("kind")
    if kind not in _KINDS:
        raise UnknownName("kind of change", kind, _KINDS)
    return _KINDS[kind].model_validate(settings)
