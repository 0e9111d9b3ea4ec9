"""Every member of every set, as a value that fits a tiny model. A new member is here because its class is there."""

from __future__ import annotations

from typing import Any

import pytest

from compress.core.choice import Choice
from recipes.cli.show import example
from recipes.file.catalogue import sets
from tests.tiny import tiny_settings

__all__ = ["MEMBERS", "SETTINGS", "made", "member", "of_kind"]

MEMBERS = tuple((kind, name) for kind, found in sets().items() for name in found.members())
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("patterns", "blocks"): {"rows": 4, "columns": 4},
    ("stages", "trim_positions"): {"length": 32},
}
"""(kind, name) -> settings of a member whose shortest example is not for a tiny model of width 32 and 48 neurons."""
ADVICE = """
To try {name} of {kind} on tiny models it is made from the example that `trimformer show {name}` prints, with numbers
no larger than tests/tiny/settings.py says. Where that does not fit: give the field an example
(`Field(..., examples=[...])`), or add settings to SETTINGS in tests/contracts/members.py."""


def member(kind: str, name: str) -> type[Choice]:
    return sets()[kind].members()[name]


def of_kind(kind: str) -> list[Any]:
    """The members of one set, for `pytest.mark.parametrize`."""
    return [pytest.param(found, id=name) for name, found in sets()[kind].members().items()]


def made(kind: str, name: str, **settings: Any) -> Any:
    """A member for tiny models; `settings` besides those that its example and the table give."""
    found = sets()[kind]
    form = example(found.members()[name])
    given = form[name] if isinstance(form, dict) else {}
    try:
        value = found.parse({name: {**given, **SETTINGS.get((kind, name), {}), **settings}})
    except ValueError as error:
        raise AssertionError(f"{error}{ADVICE.format(kind=kind, name=name)}") from error
    return tiny_settings(value)
