"""States: facts about a model that decide which stages may follow, and for each the words of a refusal and the mend."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

__all__ = ["STATES", "WORDS", "State", "Words", "known_states", "obstacles"]

State = Literal["head_trained", "adapted", "quantized", "shared", "factorized", "masked", "trimmed"]
STATES: tuple[State, ...] = get_args(State)
NO_ALTERNATIVES: Mapping[State, str] = MappingProxyType({})


class Words(NamedTuple):
    """Words of a refusal, where a state forbids a stage, and where it is missing."""

    holds: str
    """The fact, where it forbids the stage."""
    remove: str
    """What removes the state before the stage."""
    lacks: str
    """The fact, where the state is missing."""
    bring: str
    """What brings the state about before the stage."""


WORDS: Mapping[State, Words] = MappingProxyType(
    {
        "head_trained": Words(
            holds="its head is trained for the task",
            remove="start from a checkpoint whose head is not",
            lacks="its head is not trained for the task",
            bring="put `finetune` before this stage, or start from a fine-tuned checkpoint",
        ),
        "adapted": Words(
            holds="a fine-tuning has put modules around its linears or tokens before its texts",
            remove="put `merge` before this stage",
            lacks="no fine-tuning has put anything into it",
            bring="put `finetune` with a method of few parameters before this stage",
        ),
        "quantized": Words(
            holds="its linears are quantized",
            remove="put `merge` before this stage",
            lacks="its linears are stored in fp32",
            bring="put `finetune` with a `base` of fewer bits before this stage",
        ),
        "shared": Words(
            holds="its blocks share their tensors",
            remove="put `untie` before this stage",
            lacks="its blocks share nothing",
            bring="put `share` before this stage",
        ),
        "factorized": Words(
            holds="matrices of it are factorized, each kept as two factors",
            remove="put `merge_factors` before this stage",
            lacks="nothing in it is factorized",
            bring="put `factorize` before this stage",
        ),
        "masked": Words(
            holds="it holds masks",
            remove="put `make_permanent` before this stage",
            lacks="it holds no masks",
            bring="put `prune` with a pattern of weights before this stage",
        ),
        "trimmed": Words(
            holds="its vocabulary is trimmed",
            remove="put the trimming after this stage",
            lacks="its vocabulary is whole",
            bring="put `trim_vocabulary` before this stage",
        ),
    }
)


def obstacles(
    states: Collection[str],
    *,
    needs: Collection[State] = (),
    forbids: Collection[State] = (),
    otherwise: Mapping[State, str] = NO_ALTERNATIVES,
) -> Iterator[str]:
    """Sentences on the states that forbid a stage and on those that are missing, each with what to do about it.

    Args:
        states: of the model.
        needs, forbids: states that it must have, and must not have.
        otherwise: state -> what else can be done, beside the state's own mend.
    """
    for state, words in WORDS.items():
        held = state in states
        if held and state in forbids:
            yield _sentence(words.holds, words.remove, otherwise.get(state))
        elif not held and state in needs:
            yield _sentence(words.lacks, words.bring, otherwise.get(state))


def known_states(names: Collection[str]) -> frozenset[State]:
    """Those of `names` that are states; a record of an earlier version may hold others."""
    return frozenset(state for state in STATES if state in names)


def _sentence(what: str, mend: str, other: str | None) -> str:
    return f"{what}; {mend}, or {other}" if other else f"{what}; {mend}"
