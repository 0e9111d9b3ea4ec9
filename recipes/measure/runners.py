"""Inference of saved models and exports behind one interface: arrays in, outputs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from compress.core.errors import InputError
from recipes.measure.inputs import Arrays
from recipes.measure.probe import Bench

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle

__all__ = ["Model", "Opponents", "is_export", "open_model", "opponents"]


@dataclass(frozen=True)
class Model:
    """An opened model.

    Attributes:
        call: inference: outputs by name (`logits`, ...), float32, for the arrays of a batch.
        processor: the tokenizer or image processor that was saved with it.
        config: its transformers configuration.
        device: where it runs; an export's is the CPU.
        bundle: the model itself, where it runs in PyTorch.
        ranges_per_call: whether an answer depends on the batch: activations are quantized by the range of each call.
    """

    call: Callable[[Arrays], Arrays]
    processor: Any
    config: Any
    device: str = "cpu"
    bundle: Bundle | None = None
    ranges_per_call: bool = False

    def __call__(self, inputs: Arrays) -> Arrays:
        return self.call(inputs)


def is_export(directory: Path) -> bool:
    """Whether the directory holds an export."""
    return (directory / "export.json").is_file()


def open_model(directory: Path, *, device: str = "cpu", threads: int) -> Model:
    """Model of a directory: PyTorch fp32 eager, or the runtime that the directory was exported for.

    PyTorch's threads belong to the process: they are set here for every model of it.

    Args:
        directory: of a saved model or an export.
        device: of a PyTorch model; exports run on the CPU.
        threads: of the runtime.
    """
    import torch

    torch.set_num_threads(threads)
    return _open_export(directory, threads) if is_export(directory) else _open_pytorch(directory, device)


def _open_pytorch(directory: Path, device: str) -> Model:
    from finetune.delta.opening import open_directory

    bundle = open_directory(directory, device=device)
    bundle.model.eval()
    return Model(_pytorch_call(bundle.model, device), bundle.processor, bundle.config, device, bundle)


def _pytorch_call(model: Any, device: str) -> Callable[[Arrays], Arrays]:
    import torch

    from compress.core.model.evaluation import accepted
    from compress.core.stage.task import answering

    names = set(accepted(model))

    def call(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(inputs[name]).to(device) for name in names & inputs.keys()}
            outputs = answering(model(**tensors))
            if not outputs:
                raise InputError(
                    f"the model has no head that answers: {type(model).__name__}",
                    advice="measure a model with a head for a task, such as a stage of a run",
                )
            return {name: tensor.float().cpu().numpy() for name, tensor in outputs.items()}

    return call


def _open_export(directory: Path, threads: int) -> Model:
    from compress.core.checkpoint.processor import open_processor
    from compress.core.checkpoint.resolve import read_config
    from compress.export.session import format_of, open_artifact, read_manifest

    session = open_artifact(directory, threads=threads, exact=False)
    manifest = read_manifest(directory)
    # The configuration may be of a type that only `compress` knows, and its class does not matter here.
    return Model(
        session.outputs,
        open_processor(directory, None),
        SimpleNamespace(**read_config(directory)),
        ranges_per_call=format_of(manifest, directory).ranges_per_call(manifest),
    )


@dataclass(frozen=True)
class Opponents:
    """A row's model, and those it is timed against, all with the same threads on the same device."""

    row: Model
    baseline: Model | None = None
    reference: Model | None = None
    threads: int = 1
    device: str = "cpu"

    def all(self) -> list[Model]:
        """In the order of a turn: baseline, row, reference."""
        return [model for model in (self.baseline, self.row, self.reference) if model is not None]

    @property
    def place_of_baseline(self) -> int | None:
        return None if self.baseline is None else 0

    @property
    def place_of_row(self) -> int:
        return 0 if self.baseline is None else 1

    @property
    def place_of_reference(self) -> int | None:
        return None if self.reference is None else self.place_of_row + 1


def opponents(bench: Bench, *, device: str, threads: int) -> Opponents:
    """Models of a bench, opened alike; beside an export all run on the CPU.

    Args:
        bench: names the directories.
        device: `auto`, `cpu` or `cuda`.
        threads: of every runtime.
    """
    import torch

    from compress.core.hardware import default_device

    directories = (bench.row, bench.baseline, bench.runtime_reference)
    exports = any(directory is not None and is_export(directory) for directory in directories)
    place = "cpu" if exports else str(default_device(device))
    torch.set_num_threads(threads)
    baseline, reference = (
        None if directory is None else bench.model(directory, device=place, threads=threads)
        for directory in directories[1:]
    )
    return Opponents(bench.model(bench.row, device=place, threads=threads), baseline, reference, threads, place)
