"""Reference of an export: the uncompressed model in the same runtime, so that its gain is not sold as compression."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compress.core.errors import Refusal, StageFailed
from compress.core.stage.declaration import UNMERGED
from recipes.engine.execute import Executor, Work
from recipes.engine.finished_stages import Done
from recipes.engine.folder import Folder
from recipes.engine.identity import stage_settings
from recipes.engine.store import Store, identity
from recipes.stage_record import Named

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from compress.core.stage.stage import Stage

__all__ = ["uncompressed"]


def uncompressed(reference: Stage | None, baseline: Done, store: Store, executor: Executor) -> Path | None:
    """The directory of `baseline` exported by `reference`, at its runtime's default precision; made once.

    None where there is no such export, or the baseline has something in it that no merge makes dense.

    Args:
        reference: the export of the uncompressed model.
        baseline: of its seed.
        store: of the run.
        executor: of the run.

    Raises:
        StageFailed: the export gave something that is no artifact.
    """
    if reference is None:
        return None
    expected = identity(stage=stage_settings(reference), baseline=baseline.identity)
    folder = Folder(store.work, f"{reference.name}-{expected[:12]}")
    if folder.finished(expected, whole=True).record is not None:
        return folder.final
    bundle = _dense(baseline.bundle())
    if bundle is None:
        return None
    named = Named(id=folder.name, stage=reference.name, start=baseline.record.id, seed=baseline.record.seed)
    done = executor.execute(Work(named, reference, lambda: bundle), folder, expected)
    if done.record.is_model:
        raise StageFailed("an export gave no artifact", given=reference.recipe_form())
    return done.directory


def _dense(bundle: Bundle) -> Bundle | None:
    """The same answers from a plain model: what was inserted is merged, on weights in fp32."""
    from finetune.merge.change import Merged

    if not UNMERGED & bundle.states:
        return bundle
    try:
        return bundle.changed_by(Merged())
    except Refusal:
        return None
