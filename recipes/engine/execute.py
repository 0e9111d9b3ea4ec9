"""One stage of a run, carried out once: find it finished, or run it in a directory of its own and keep the result."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.core.model.bundle import Bundle
from compress.core.model.change import Several
from compress.core.stage.artifact import Artifact
from compress.core.stage.exhibit import kept_units
from compress.core.stage.stage import Stage
from finetune.delta.record import is_delta
from finetune.delta.saving import move_base
from recipes.engine.shared import run_stage
from recipes.engine.store import Folder, Store
from recipes.record import Cost

if TYPE_CHECKING:
    import torch

    from compress.core.stage.context import Context
    from compress.core.training.fit import Fit, FitResult

__all__ = ["Done", "Ledger", "bundle_facts", "carry_out", "find"]


@dataclass
class Done:
    """A finished stage on disk. `facts` is what its `stage.json` says."""

    folder: Folder
    facts: dict[str, Any]
    reused: bool

    @property
    def directory(self) -> Path:
        return self.folder.final

    @property
    def identity(self) -> str:
        return str(self.facts["identity"])

    @property
    def head_trained(self) -> bool:
        return "head_trained" in self.facts["states"]

    def bundle(self, device: torch.device | str = "cpu") -> Bundle:
        from finetune.delta.opening import open_directory

        return open_directory(self.directory, device=device)


@dataclass
class Ledger:
    """Adds up what the fits of a stage did."""

    results: list[FitResult] = field(default_factory=list)

    def watching(self, fit: Fit) -> Fit:
        def watched(*args: Any, **settings: Any) -> FitResult:
            self.results.append(fit(*args, **settings))
            return self.results[-1]

        return watched

    @property
    def trained_parameters(self) -> int:
        return max((result.trained_parameters for result in self.results), default=0)

    @property
    def seconds(self) -> float:
        return sum(result.seconds for result in self.results)

    @property
    def notes(self) -> list[str]:
        """What the report says of how the fits were run."""
        processes = max((int(result.notes.get("processes", 1)) for result in self.results), default=1)
        return [f"trained on {processes} processes"] if processes > 1 else []

    @property
    def training_flops(self) -> float | None:
        flops = [float(result.notes["training_flops"]) for result in self.results if "training_flops" in result.notes]
        return sum(flops) if flops else None


def find(
    folder: Folder,
    expected: str,
    store: Store,
    *,
    leaf: bool,
    about: Mapping[str, Any] | None = None,
    base: Path | None = None,
) -> Done | None:
    """The stage if it is finished, here or in another run of the store.

    Args:
        about: what it is called in this recipe (id, start, seed), which may be other names than it was made under.
        base: where the stage that it works on lies here; a delta that was made elsewhere is told.
    """
    facts = folder.finished(expected)
    if facts is None:
        other = store.elsewhere(expected, leaf=leaf)
        if other is None:
            return None
        folder.adopt(other)
        facts = folder.finished(expected)
    if facts is None:
        return None
    if base is not None and is_delta(folder.final):
        move_base(folder.final, base)
    named = {**facts, **(about or {})}
    if named != facts:
        folder.keep_facts(named)
    return Done(folder, named, reused=True)


def carry_out(
    stage: Stage,
    parent: Bundle,
    *,
    folder: Folder,
    expected: str,
    context: Callable[[Path, Ledger], Context],
    base: Path,
    device: torch.device,
    about: Mapping[str, Any],
    facts: Callable[[Bundle, Path], dict[str, Any]],
) -> Done:
    """Run `stage` on `parent` and keep its result in `folder`.

    Args:
        context: makes the stage's Context, given its scratch directory and the ledger of its fits.
        base: where `parent` lies; a delta is saved with the way to it.
        about: what `stage.json` says besides what is found out here (id, stage, start, seed, settings).
        facts: what else it says of a model, found out while that is in memory; may write beside it.
    """
    from recipes.measure.energy import energy
    from recipes.measure.memory import peak_memory

    partial = folder.begin(expected)
    scratch = partial / "work"
    scratch.mkdir(exist_ok=True)
    ledger = Ledger()
    ctx = context(scratch, ledger)
    ctx.left = partial / "left"
    ctx.left.mkdir(exist_ok=True)
    before, count, tuned = parent.sketch(), len(parent.changes), parent.tuned
    started = time.perf_counter()
    with peak_memory(device) as peak, energy() as used:
        outcome = run_stage(stage, parent, ctx, base=base)
    cost = Cost(
        # A fit that was taken up again knows what it took before the interruption.
        seconds=max(time.perf_counter() - started, ledger.seconds),
        peak_bytes=peak.bytes,
        import_bytes=peak.before,
        trained_parameters=ledger.trained_parameters,
        training_flops=ledger.training_flops,
        energy_kwh=used.kwh,
    )
    result = partial / "result"
    about = {**about, "identity": expected, "cost": cost.model_dump(mode="json"), "facts": ctx.facts}
    if isinstance(outcome, Artifact):
        about |= _artifact_facts(outcome, result, parent)
    else:
        if outcome.tuned is tuned:
            outcome.tuned = None  # it stands on the tuned model, and is no delta itself
        said = [*about.get("notes", []), *ledger.notes]
        about |= bundle_facts(outcome, result, ctx, facts, base=base, at=folder.final)
        about["notes"] = [*said, *(note for note in about.get("notes", []) if note not in said)]
        made = outcome.changes[count:]
        about["cut"] = Several(steps=made).summary(before)
    about["exhibits"] = [one.model_dump(mode="json") for one in (*kept_units(about["cut"]), *ctx.exhibits)]
    # Copied, since what an interruption spares must still be there when the stage is run again.
    shutil.copytree(partial / "left", result, dirs_exist_ok=True)
    folder.finish(result, about)
    return Done(folder, about, reused=False)


def _artifact_facts(artifact: Artifact, result: Path, parent: Bundle) -> dict[str, Any]:
    shutil.move(artifact.directory, result)
    return {
        "runtime": artifact.runtime,
        "precision": artifact.precision,
        "artifact": dict(artifact.notes),
        "states": sorted(parent.states),
        "cut": {},
        "select_value": None,
    }


def bundle_facts(
    bundle: Bundle,
    result: Path,
    ctx: Context,
    more: Callable[[Bundle, Path], dict[str, Any]],
    *,
    base: Path | None = None,
    at: Path | None = None,
) -> dict[str, Any]:
    """Save `bundle` in `result`, and what `stage.json` says of it.

    Args:
        base, at: where a delta's base lies, and where `result` will lie.
    """
    from compress.core.checkpoint.save import save
    from compress.core.model.stored import storage_of
    from finetune.delta.saving import save_delta

    trained = "head_trained" in bundle.states
    select_value = ctx.evaluate(bundle) if trained else None
    if bundle.tuned is None:
        save(bundle.to("cpu"), result)
    else:
        save_delta(bundle.to("cpu"), result, base=base, at=at)
    return {
        "runtime": "pytorch",
        "precision": storage_of(bundle.model),
        "states": sorted(bundle.states),
        "cut": {},
        "select_value": select_value,
        **more(bundle, result),
    }
