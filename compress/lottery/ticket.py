"""A ticket as a file: which weights stay, packed in bits, and the fingerprint of the model that they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from compress.core.checkpoint.guard import guarded
from compress.core.errors import InputError
from compress.core.files import written_whole
from compress.core.model.bundle import Bundle
from compress.core.model.fingerprint import base_fingerprint
from compress.core.model.masks import Masks, pack, unpack
from compress.core.model.matrices import first_stack

__all__ = ["Ticket", "read_ticket", "save_ticket"]

FORMAT = 1
KEY = "ticket"
"""Its word in the metadata of the safetensors file."""


@dataclass(frozen=True)
class Ticket:
    """Which weights of an encoder stay.

    Attributes:
        masks: name of a parameter, from the base model -> boolean tensor on the CPU, True where kept. The task's head
            is not among them, so that a ticket fits a model with any head.
        model: fingerprint of the weights that the search began with.
        architecture: their model type, for messages.
        facts: plain data: how it was found.
    """

    masks: Masks
    model: str
    architecture: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle, masks: Masks, *, model: str, **facts: Any) -> Ticket:
        """The ticket of masks by the names of the bundle's whole model.

        Args:
            model: the fingerprint of the weights that the search began with.
        """
        start = _prefix(bundle)
        own = {name.removeprefix(start): mask.cpu() for name, mask in masks.items()}
        return cls(own, model, bundle.family.model_type, facts)

    @property
    def kept(self) -> int:
        return sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def size(self) -> int:
        """How many weights it decides on."""
        return sum(mask.numel() for mask in self.masks.values())

    @property
    def remaining(self) -> float:
        return self.kept / self.size

    def masks_named(self, bundle: Bundle) -> Masks:
        """The masks by the names of the bundle's whole model; whether it is the ticket's is not looked at."""
        start = _prefix(bundle)
        return {f"{start}{name}": mask for name, mask in self.masks.items()}

    def masks_for(self, bundle: Bundle) -> Masks:
        """The masks by the names of the bundle's whole model.

        Raises:
            InputError: the ticket is of another model.
        """
        advice = "a ticket fits the model that it was found in: the same checkpoint, not yet cut or trained"
        masks = self.masks_named(bundle)
        own = {name: tuple(bundle.model.get_parameter(name).shape) for name in first_stack(bundle)}
        theirs = {name: tuple(mask.shape) for name, mask in masks.items()}
        strange = sorted(name for name, _ in own.items() ^ theirs.items())
        if strange:
            raise InputError(
                f"the ticket is of another model, of type {self.architecture!r}: its matrices and those of this "
                f"model, of type {bundle.family.model_type!r}, are not the same",
                given=strange[0],
                advice=advice,
            )
        if bundle.device.type != "meta" and base_fingerprint(bundle.model, bundle.family) != self.model:
            raise InputError(
                "the ticket is of another model: the encoder's weights are not those that it was found in",
                given=self.model,
                advice=advice,
            )
        return masks


def save_ticket(ticket: Ticket, file: Path) -> Path:
    """Write `ticket` into a safetensors file, whole or not at all; gives the file.

    Args:
        ticket: masks and facts.
        file: a `.safetensors` file; its folder is made.
    """
    from safetensors.torch import save_file

    record = {
        "format": FORMAT,
        "model": ticket.model,
        "architecture": ticket.architecture,
        "shapes": {name: list(mask.shape) for name, mask in ticket.masks.items()},
        "facts": dict(ticket.facts),
    }
    packed = {name: pack(mask) for name, mask in ticket.masks.items()}
    with written_whole(file) as beside:
        save_file(packed, beside, metadata={KEY: json.dumps(record, sort_keys=True)})
    return file


def read_ticket(file: Path) -> Ticket:
    """What `save_ticket` wrote.

    Raises:
        InputError: there is no such file, it is damaged, or it is no ticket.
    """
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise InputError("there is no such ticket", given=str(file), advice="a search leaves them below `tickets/`")
    try:
        with safe_open(file, framework="pt") as opened:
            record = json.loads((opened.metadata() or {}).get(KEY, "null"))
            packed = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise InputError(f"the ticket cannot be read, the file is damaged: {error}", given=str(file)) from error
    with guarded("the ticket cannot be read, its record is damaged", given=str(file)):
        _check(record, packed, file)
        masks = {name: unpack(packed[name], shape) for name, shape in record["shapes"].items()}
        return Ticket(masks, record["model"], record["architecture"], record["facts"])


def _check(record: Any, packed: Mapping[str, Any], file: Path) -> None:
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        what = "a ticket of another format" if isinstance(record, dict) else "no ticket"
        raise InputError(f"the file holds {what}", given=str(file), advice="name a file that find_ticket left")
    sizes = {name: -(-prod(shape) // 8) for name, shape in record["shapes"].items()}
    if sizes != {name: len(bits) for name, bits in packed.items()}:
        raise InputError("the ticket's bits are not those of its shapes, the file is damaged", given=str(file))


def _prefix(bundle: Bundle) -> str:
    """What stands before the base model's names in a model with a head."""
    prefix = getattr(bundle.model, "base_model_prefix", "")
    return f"{prefix}." if prefix and hasattr(bundle.model, prefix) else ""
