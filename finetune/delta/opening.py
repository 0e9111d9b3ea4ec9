"""Opening of deltas on their bases."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.checkpoint.for_task import load_source
from compress.core.checkpoint.guard import guarded, names
from compress.core.checkpoint.loaded import check_finite
from compress.core.checkpoint.record import history
from compress.core.checkpoint.resolve import Reference
from compress.core.checkpoint.save import load
from compress.core.choice import import_all
from compress.core.errors import InputError
from compress.core.model.bundle import Bundle, Tuned
from compress.core.model.state import known_states
from finetune.delta.record import (
    CONFIG,
    TENSORS,
    DeltaRecord,
    base_directory,
    base_fingerprint,
    is_delta,
    read_record,
)
from finetune.inserted.insertion import insertions
from finetune.parameters.names import head_names

__all__ = ["check", "load_delta", "open_base", "open_directory", "put_on"]


def load_delta(base: Bundle | Reference, directory: Path | str) -> Bundle:
    """Tuned model: a copy of `base` with the delta in `directory`, in evaluation mode.

    Args:
        base: a bundle (left as it is), or a hub id, a directory, {package, path}.
        directory: what `save_delta` wrote, or a stage's directory of a run.

    Raises:
        InputError: `directory` holds no delta, or the delta is of another base.
    """
    record = read_record(directory)
    bundle = base.copy() if isinstance(base, Bundle) else open_base(base, record)
    check(record, bundle, base_fingerprint(bundle.model, bundle.family))
    return put_on(bundle, record, Path(directory))


def open_directory(directory: Path | str, *, device: torch.device | str = "cpu") -> Bundle:
    """Model of a stage's directory: a whole model, or a delta together with the base that it names.

    Args:
        directory: of a stage, or what `save_delta` wrote.
        device: where the model is put.

    Raises:
        InputError: there is neither, or the base is not at its recorded path, or has changed since.
    """
    directory = Path(directory)
    if not is_delta(directory):
        return load(directory, device=device)
    record = read_record(directory)
    path = base_directory(directory)
    if path is None or not path.is_dir():
        raise InputError(
            f"the base of the delta is not there: {record.base.path or 'its directory was not written down'}",
            where=str(directory / CONFIG),
            advice="open it with finetune.load(base, directory)",
        )
    bundle = open_directory(path)
    check(record, bundle, base_fingerprint(bundle.model, bundle.family))
    return put_on(bundle, record, directory).to(device)


def check(record: DeltaRecord, bundle: Bundle, fingerprint: str) -> None:
    """Raise `InputError` unless the delta belongs on this bundle.

    Args:
        record: of the delta.
        bundle: the base.
        fingerprint: of the base.
    """
    if record.base.fingerprint != fingerprint or record.base.architecture != type(bundle.model).__name__:
        raise InputError(
            f"the delta is of another base: a {record.base.architecture} with the fingerprint "
            f"{record.base.fingerprint}",
            given=fingerprint,
            advice="give the model that it was trained on, unchanged",
        )


def put_on(bundle: Bundle, record: DeltaRecord, directory: Path) -> Bundle:
    """Base with a delta applied: changed in place as the delta's training changed its base, with the delta's tensors.

    The tensors are new ones: what the bundle shares with another model stays as it is there. The head and the names of
    the labels are the delta's, whatever head the base has.

    Args:
        bundle: the base.
        record: of the delta.
        directory: of the delta.

    Raises:
        InputError: the delta has no head of its own, and the base's is for another number of labels; it does not fit
            the base, is damaged, or lacks tensors that neither it nor the base has.
    """
    import_all("finetune.methods")  # they know the kinds of change that deltas make
    base_changes, before = len(bundle.changes), frozenset(bundle.model.state_dict())
    with guarded("the changes that the delta records do not fit its base", given=str(directory)):
        for change in history({"changes": record.changes}):
            bundle = bundle.changed_by(change)
    tensors = _read_tensors(bundle, record, directory)
    made = {name for change in insertions(bundle) for name in change.inserted(bundle)} - before
    _check_names(bundle, tensors, needed={*made, *bundle.fresh, *record.trained}, directory=directory)
    _check_shapes(bundle, tensors, record)
    for name, value in tensors.items():
        _replace(bundle.model, name, value)
    _name_labels(bundle.model, record)
    bundle.states = known_states(record.states)
    bundle.fresh = frozenset()
    bundle.tuned = Tuned(record.method, frozenset(record.trained), base_changes, record.base.fingerprint)
    bundle.model.eval()
    check_finite(bundle.model.state_dict(), given=str(directory))
    return bundle


def open_base(base: Reference, record: DeltaRecord) -> Bundle:
    """Base of a delta, opened with a head like the delta's.

    Args:
        base: a hub id, a directory (of a delta too), {package, path}.
        record: of the delta.
    """
    if isinstance(base, str | Path) and is_delta(base):
        return open_directory(base)
    return load_source(base, head=record.head)


def _read_tensors(bundle: Bundle, record: DeltaRecord, directory: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    with guarded("the delta's tensors cannot be read", given=str(directory / record.tensors)):
        if Path(record.tensors).name != record.tensors or not (directory / record.tensors).is_file():
            raise InputError("the file that holds the delta's tensors is not there", given=record.tensors)
        if record.tensors == TENSORS:
            return load_file(directory / TENSORS)
        inserted = insertions(bundle)
        if not inserted:
            raise InputError("the delta names a file of another library, and inserts nothing", given=record.tensors)
        return inserted[-1].read(directory)


def _check_names(bundle: Bundle, tensors: Mapping[str, Tensor], *, needed: Collection[str], directory: Path) -> None:
    """Raise `InputError` where a tensor would keep the value of its initialization, or one of the file is not used."""
    lacking = sorted(set(needed) - set(tensors))
    if lacking:
        raise InputError(
            f"the delta lacks {len(lacking)} tensors that its base does not have either: {names(lacking)}",
            given=str(directory),
            advice="it was not copied as a whole: copy it again, or train it again",
        )
    surplus = sorted(set(tensors) - set(bundle.model.state_dict()))
    if surplus:
        raise InputError(
            f"the delta holds {len(surplus)} tensors that its changes do not make: {names(surplus)}",
            given=str(directory),
            advice="delta_config.json and its tensors do not belong together",
        )
    odd = sorted(name for name, value in tensors.items() if not value.is_floating_point())
    if odd:
        raise InputError(
            f"the delta holds tensors that are no floating-point numbers: {names(odd)}", given=str(directory)
        )


def _check_shapes(bundle: Bundle, tensors: Mapping[str, Tensor], record: DeltaRecord) -> None:
    state = bundle.model.state_dict()
    other = {name for name, value in tensors.items() if state[name].shape != value.shape}
    inside = sorted(other - head_names(bundle))
    if inside:
        raise InputError("the delta holds tensors of the base in other shapes", given=inside[:3])
    if len(record.labels) != bundle.config.num_labels and not other:
        raise InputError(
            f"the delta is for {len(record.labels)} labels and has no head of its own, and the base's head is for "
            f"{bundle.config.num_labels}",
            advice="give the base by its directory or id, so that it is opened with a head for these labels",
        )


def _name_labels(model: nn.Module, record: DeltaRecord) -> None:
    """Give the configuration, and the model's copies of it, the labels of the delta."""
    config: Any = model.config
    for field, value in record.head.settings().items():
        setattr(config, field, value)
    if hasattr(model, "num_labels"):
        model.num_labels = config.num_labels


def _replace(model: nn.Module, name: str, value: Tensor) -> None:
    """Give the model a tensor of its own under `name`, and under every other name that it has there."""
    owner, _, attribute = name.rpartition(".")
    holder = model.get_submodule(owner)
    old = getattr(holder, attribute)
    fresh = value.to(old.device, copy=True)
    if isinstance(old, nn.Parameter):
        fresh = nn.Parameter(fresh, old.requires_grad)
    if isinstance(holder, nn.Linear) and attribute == "weight" and old.shape != fresh.shape:
        holder.out_features, holder.in_features = fresh.shape  # a head for another number of labels
    for module in model.modules():
        held = {**module._parameters, **module._buffers}
        for name in [name for name, tensor in held.items() if tensor is old]:
            setattr(module, name, fresh)
