"""The ticket's mask with random reinitialisation."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch

from compress.core.families.family import base_model
from compress.core.model.bundle import Bundle
from compress.lottery.controls.control import Control
from compress.lottery.search import State

__all__ = ["Reinitialised"]


class Reinitialised(Control):
    """Random reinitialisation of the encoder under the ticket's mask; the head starts with the ticket's weights.

    Frankle and Carbin 2019, arXiv 1803.03635, section 2; Chen et al. 2020, arXiv 2007.12223, section 4.
    """

    def start(self, bundle: Bundle, state: State, names: tuple[str, ...], generator: torch.Generator) -> State:
        model: Any = deepcopy(bundle.model)
        model.load_state_dict(state)
        base = base_model(model)
        for parameter in base.parameters():
            # transformers leaves alone what it believes to come from a checkpoint.
            vars(parameter).pop("_is_hf_initialized", None)
        with torch.random.fork_rng(devices=[bundle.device] if bundle.device.type == "cuda" else []):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            for path, module in base.named_modules():
                if not set(path.split(".")) & set(bundle.family.head_modules):
                    model._init_weights(module)
        return dict(model.state_dict())
