"""What a stage did to a model, as plain data: `apply` makes it happen, also on the meta device and after a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import SerializeAsAny

from compress.core.choice import snake_case
from compress.core.errors import UnknownName
from compress.core.settings import Settings

if TYPE_CHECKING:
    from compress.core.bundle import Bundle

__all__ = ["Change", "Nothing", "Several", "change_from_data"]

_KINDS: dict[str, type[Change]] = {}


class Change(Settings):
    """Plain data: which layers, heads, neurons are kept. The same change on equal models gives equal models."""

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = snake_case(cls.__name__)
        _KINDS[cls.kind] = cls

    def apply(self, bundle: Bundle) -> Bundle:
        """The changed bundle. The model is changed in place; nothing is computed that needs data or real weights."""
        raise NotImplementedError

    def summary(self) -> dict[str, Any]:
        """What was cut, for the report."""
        return {}

    def data(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.model_dump(mode="json")}


class Nothing(Change):
    """The model's structure stays as it is."""

    def apply(self, bundle: Bundle) -> Bundle:
        return bundle


class Several(Change):
    """Changes, one after the other; a bundle remembers each by itself."""

    steps: tuple[SerializeAsAny[Change], ...]

    def apply(self, bundle: Bundle) -> Bundle:
        for step in self.steps:
            bundle = step.apply(bundle)
        return bundle

    def summary(self) -> dict[str, Any]:
        return {name: value for step in self.steps for name, value in step.summary().items()}


def change_from_data(data: dict[str, Any]) -> Change:
    """The change that `data()` wrote."""
    settings = dict(data)
    kind = settings.pop("kind")
    if kind not in _KINDS:
        raise UnknownName("kind of change", kind, _KINDS)
    return _KINDS[kind].model_validate(settings)
