"""What there is: every stage and every set of choices, found by importing the modules that define them."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import cache

from compress.core.choice import Choice, snake_case

__all__ = ["import_stages", "kinds", "sets"]

_IRREGULAR = {"criterion": "criteria", "loss": "losses"}


@cache
def import_stages() -> None:
    """Import every module called `stage` in the packages below `compress` and `finetune`."""
    for package in ("compress", "finetune"):
        root = importlib.import_module(package)
        names = [package, *(f"{package}.{m.name}" for m in pkgutil.iter_modules(root.__path__) if m.ispkg)]
        for name in names:
            if name != "compress.core" and importlib.util.find_spec(f"{name}.stage"):
                importlib.import_module(f"{name}.stage")


def plural(name: str) -> str:
    return _IRREGULAR.get(name) or (f"{name}es" if name.endswith(("s", "x", "ch")) else f"{name}s")


def sets() -> dict[str, type[Choice]]:
    """Kind (`criteria`) -> set of choices, sorted by kind."""
    import_stages()
    for module in ("finetune.tasks.task", "recipes.measure.probe"):
        importlib.import_module(module)
    return dict(sorted((plural(snake_case(found.__name__)), found) for found in Choice.__subclasses__()))


def kinds() -> tuple[str, ...]:
    return (*sets(), "families", "recipes")
