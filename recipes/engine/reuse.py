"""Reuse of finished stages: found here or in another run of the store, undamaged, and made from the same weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from finetune.delta.record import is_delta
from finetune.delta.saving import base_moves, move_base
from recipes.engine.finished_stages import Done

if TYPE_CHECKING:
    from recipes.engine.execute import Work
    from recipes.engine.folder import Folder, Found
    from recipes.engine.store import Store
    from recipes.stage_record import StageRecord

__all__ = ["find"]


def find(
    folder: Folder,
    expected: str,
    store: Store,
    *,
    work: Work,
    whole: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Done | None:
    """The stage if it is finished and undamaged, here or in another run of the store.

    Args:
        folder: its place in this run.
        expected: its identity.
        store: of the run.
        work: what would be executed; its names may be others than those that the stage was made under.
        whole: hash every file of what is found here; what comes from elsewhere is always hashed.
        say: is told what is damaged.
    """
    found = folder.finished(expected, whole=whole)
    if found.damaged:
        say(_damage(folder.final, found))
    record = found.record if _same_weights(found, work) else None
    if record is not None:
        return Done(folder, _called(folder, record, work), reused=True)
    for path, found in store.elsewhere(expected, leaf=work.leaf, but=folder.final):
        if found.damaged:
            say(f"{_damage(path, found)}; it is not taken from there")
        if found.record is not None and _same_weights(found, work):
            moved = partial(_move_base, base=work.base)
            return Done(folder, folder.adopt(path, found.record.called(work.named), change=moved), reused=True)
    return None


def _called(folder: Folder, record: StageRecord, work: Work) -> StageRecord:
    """The record of what is finished here, under the names and on the base of this recipe."""
    called = record.called(work.named)
    if work.base is not None and is_delta(folder.final) and base_moves(folder.final, work.base):
        return folder.adopt(folder.final, called, change=partial(_move_base, base=work.base))
    if called != record:
        folder.keep(called)
    return called


def _move_base(directory: Path, *, base: Path | None) -> None:
    if base is not None and is_delta(directory):
        move_base(directory, base)


def _same_weights(found: Found, work: Work) -> bool:
    """Whether it was made from the weights that it would be made from now; a remade stage may have others."""
    made_from = {} if found.record is None else found.record.made_from
    return all(work.stands_on.get(name, weights) in (None, weights) for name, weights in made_from.items())


def _damage(directory: Path, found: Found) -> str:
    names = ", ".join(found.damaged[:3]) + (f" and {len(found.damaged) - 3} more" if len(found.damaged) > 3 else "")
    return f"{directory}: {names} missing, or not as written"
