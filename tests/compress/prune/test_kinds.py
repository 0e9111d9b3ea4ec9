"""Two kinds of patterns and criteria: a criterion takes the plans of what it scores, and says why not of the rest."""

import pytest

from compress.core.stage.context import Context
from compress.prune.criterion import Criterion
from compress.prune.gradual.criterion import LearnedCriterion
from compress.prune.pattern import Pattern
from compress.prune.stage import Prune
from compress.prune.units.criterion import UnitCriterion
from compress.prune.units.pattern import UnitPattern
from compress.prune.weights.criterion import WeightCriterion
from compress.prune.weights.pattern import WeightPattern
from tests.compress.distill.stub import trained

PATTERNS = [member(**dict.fromkeys(member.required(), 4)) for member in Pattern.members().values()]
KINDS = [(UnitPattern, UnitCriterion), (WeightPattern, WeightCriterion)]


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
@pytest.mark.parametrize("member", Criterion.members().values(), ids=lambda member: member.name)
def test_a_criterion_takes_the_kinds_that_it_scores(member, pattern):
    (kind,) = [scorer for each, scorer in KINDS if isinstance(pattern, each)]
    criterion, plan = member(), pattern.plan(pattern.own_sparsity() or 0.5)
    if issubclass(member, kind):
        return
    assert member.name in criterion.refuses(pattern, "uniform")
    with pytest.raises(ValueError, match=member.name):
        Prune(pattern=pattern, sparsity=pattern.own_sparsity() or 0.5, criterion=criterion)
    with pytest.raises(TypeError, match=type(plan).__name__):
        criterion.decide(trained(), plan, Context())


@pytest.mark.parametrize("member", Criterion.members().values(), ids=lambda member: member.name)
def test_every_criterion_has_a_kind(member):
    assert issubclass(member, (UnitCriterion, WeightCriterion, LearnedCriterion)) and member.scores
