"""What a training changed, saved alone: a directory that makes its base the tuned model, and several on one base."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.bundle import Bundle
from compress.core.choice import snake_case
from compress.core.errors import InputError, UnknownName
from compress.core.families.family import Family
from compress.core.history import history
from compress.core.loading import load_source
from compress.core.source import Reference

__all__ = ["Deltas", "base_fingerprint", "delta_bytes", "load_delta", "save_delta"]

CONFIG, TENSORS = "delta_config.json", "delta.safetensors"
State = Mapping[str, Tensor]


def save_delta(bundle: Bundle, base_state: State, directory: Path | str, *, method: str = "") -> Path:
    """Write what of `bundle` differs from its base into `directory` (made if missing); gives the directory.

    Args:
        bundle: the tuned model.
        base_state: `state_dict()` of the base, cloned before the training.
        directory: receives `delta_config.json` and `delta.safetensors`.
        method: the method's name, for the reader.
    """
    from safetensors.torch import save_file

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    moved = {name: value for name, value in own_state(bundle.model).items() if _differs(value, base_state.get(name))}
    config: Any = bundle.config
    record = {
        "format": 1,
        "method": method,
        "base": base_fingerprint(bundle.model, bundle.family, base_state),
        "architecture": type(bundle.model).__name__,
        "labels": [config.id2label[number] for number in sorted(config.id2label)],
        "regression": config.problem_type == "regression",
        "trained": sorted(moved),
        "changes": [change.data() for change in bundle.changes],
        "states": sorted(bundle.states),
    }
    save_file({name: value.detach().cpu().clone() for name, value in moved.items()}, directory / TENSORS)
    (directory / CONFIG).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return directory


def load_delta(base: Bundle | Reference, directory: Path | str) -> Bundle:
    """The tuned model: a copy of `base` with what the delta in `directory` holds.

    Args:
        base: a bundle (left as it is), or a hub id, a directory, {package, path}.
        directory: what `save_delta` wrote.

    Raises:
        InputError: `directory` holds no delta, or the delta is of another base.
    """
    record, tensors = _read(Path(directory))
    bundle = base.copy() if isinstance(base, Bundle) else _opened(base, record)
    _check(record, tensors, bundle, base_fingerprint(bundle.model, bundle.family))
    bundle = _changed(bundle, record)
    _put(bundle.model, tensors)
    bundle.states = frozenset(record["states"])
    bundle.fresh = frozenset()
    return bundle


class Deltas:
    """Several deltas on one base that stays in memory; `use` switches between them.

        deltas = Deltas(base)
        deltas.add("sentiment", "runs/sst2/delta")
        deltas.use("sentiment").model(...)

    Args:
        base: changed in place by `use`; `use(None)` gives it back as it was.
    """

    def __init__(self, base: Bundle):
        self.bundle = base
        self.active: str | None = None
        self._fingerprint = base_fingerprint(base.model, base.family)
        self._known: dict[str, State] = {}
        self._base: dict[str, Tensor] = {}

    def add(self, name: str, directory: Path | str) -> None:
        """Read a delta, under a name of one's own.

        Raises:
            InputError: it is of another base, or of other labels than the base has.
        """
        record, tensors = _read(Path(directory))
        _check(record, tensors, self.bundle, self._fingerprint)
        self.bundle = _changed(self.bundle, record)
        self._known[name] = tensors
        state = own_state(self.bundle.model)
        for path in tensors.keys() - self._base.keys():
            self._base[path] = state[path].detach().cpu().clone()

    def use(self, name: str | None) -> Bundle:
        """The base with this delta, and none of the last one's.

        Raises:
            UnknownName: no delta of that name was added.
        """
        if name is not None and name not in self._known:
            raise UnknownName("delta", name, self._known)
        left = self._known.get(self.active or "", {})
        _put(self.bundle.model, {path: self._base[path] for path in left})
        _put(self.bundle.model, self._known.get(name or "", {}))
        self.active = name
        return self.bundle


def delta_bytes(model: nn.Module, names: Iterable[str]) -> int:
    """How large the `delta.safetensors` is that holds these parameters in fp32."""
    parameters = dict(model.named_parameters())
    header: dict[str, Any] = {}
    end = 0
    for name in sorted(names):
        start, end = end, end + 4 * parameters[name].numel()
        header[name] = {"dtype": "F32", "shape": list(parameters[name].shape), "data_offsets": [start, end]}
    text = len(json.dumps(header, separators=(",", ":")))
    return 8 + -(-text // 8) * 8 + end


def base_fingerprint(model: nn.Module, family: Family, state: State | None = None) -> str:
    """`sha256:...` over the tensors of the base model, its head and pooler left out.

    A head may be drawn anew whenever the base is opened, and a delta brings its own.
    """
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    tensors = own_state(model) if state is None else state
    whole = hashlib.sha256()
    for name in sorted(tensors):
        if name.startswith(prefix) and not set(name.split(".")) & set(family.head_modules):
            value = tensors[name].detach().cpu().contiguous()
            whole.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\n".encode())
            whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{whole.hexdigest()}"


def own_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors by name, a shared one under each of its names."""
    return dict(model.state_dict())


def _differs(value: Tensor, base: Tensor | None) -> bool:
    return base is None or base.shape != value.shape or not torch.equal(value.cpu(), base.cpu())


def _read(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors.torch import load_file

    if not (directory / CONFIG).is_file():
        raise InputError(f"the directory holds no delta: it has no {CONFIG}", given=str(directory))
    return json.loads((directory / CONFIG).read_text("utf-8")), load_file(directory / TENSORS)


def _opened(base: Reference, record: dict[str, Any]) -> Bundle:
    head = snake_case(re.sub(r"^.*?For(?=[A-Z])", "", record["architecture"]))
    labels = None if record["regression"] else tuple(record["labels"])
    return load_source(base, head=head, labels=labels, regression=record["regression"])


def _check(record: dict[str, Any], tensors: State, bundle: Bundle, fingerprint: str) -> None:
    """Raise `InputError` unless the delta belongs on this bundle."""
    if record["base"] != fingerprint or record["architecture"] != type(bundle.model).__name__:
        raise InputError(
            f"the delta is of another base: a {record['architecture']} with the fingerprint {record['base']}",
            given=fingerprint,
            advice="give the model that it was trained on, unchanged",
        )
    state = bundle.model.state_dict()
    other = sorted(name for name, value in tensors.items() if name in state and state[name].shape != value.shape)
    if other:
        raise InputError(
            f"the delta is for {len(record['labels'])} labels, and the base's head is not",
            given=other[0],
            advice="give the base by its directory or id, so that it is opened with a head for these labels",
        )


def _changed(bundle: Bundle, record: dict[str, Any]) -> Bundle:
    """The base with the changes that the delta's training made to it."""
    for change in history(record)[len(bundle.changes) :]:
        bundle = bundle.changed_by(change)
    return bundle


@torch.no_grad()
def _put(model: nn.Module, tensors: State) -> None:
    state = own_state(model)
    for name, value in tensors.items():
        state[name].copy_(value)
