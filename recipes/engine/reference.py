"""The uncompressed model in an export's runtime, so that the runtime's gain is not sold as compression."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from compress.core.errors import Refusal, StageFailed
from compress.core.stage.artifact import Artifact
from compress.core.stage.declaration import UNMERGED
from recipes.engine.execute import Done, Ledger
from recipes.engine.identity import stage_settings
from recipes.engine.store import Store, identity

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from compress.core.stage.context import Context
    from compress.core.stage.stage import Stage

__all__ = ["uncompressed"]


def uncompressed(
    reference: Stage | None, baseline: Done, store: Store, *, context: Callable[[Path, Ledger], Context]
) -> Path | None:
    """The directory of `baseline` exported by `reference`, at its runtime's default precision; made once.

    None where there is no such export, or the baseline has something in it that no merge makes dense.

    Raises:
        StageFailed: the export gave something that is no artifact.
    """
    if reference is None:
        return None
    mark = identity(stage=stage_settings(reference), baseline=baseline.identity)
    directory = store.work / f"{reference.name}-{mark[:12]}"
    if directory.exists():
        return directory
    bundle = _dense(baseline.bundle())
    if bundle is None:
        return None
    scratch = store.work / f".{directory.name}.partial"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    artifact = reference.run(bundle, context(scratch, Ledger()))
    if not isinstance(artifact, Artifact):
        raise StageFailed("an export gave no artifact", given=reference.recipe_form())
    artifact.directory.rename(directory)
    shutil.rmtree(scratch, ignore_errors=True)
    return directory


def _dense(bundle: Bundle) -> Bundle | None:
    """The same answers from a plain model: what was inserted is merged, on weights in fp32."""
    from finetune.merge.change import Merged

    if not UNMERGED & bundle.states:
        return bundle
    try:
        return bundle.changed_by(Merged())
    except Refusal:
        return None
