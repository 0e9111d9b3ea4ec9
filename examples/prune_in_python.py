"""Three doors to one building: prune half of the neurons by a pure function, by a stage, and by a recipe.

    python examples/prune_in_python.py [MODEL_DIRECTORY]

Each door is a thin use of the one before it. All three keep the same neurons.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tiny_model import write_tiny_model

from compress import Context, keep_neurons, load, load_source, save
from compress.prune.criteria.magnitude import Magnitude, unit_norms
from compress.prune.stage import Prune
from compress.prune.units.neurons import Neurons
from compress.prune.units.selection import best_of_each
from recipes.file.recipe import Recipe

STAGE = Prune(pattern=Neurons(), sparsity=0.5, criterion=Magnitude(), recover=None)
SENTENCES = ["The soup was excellent.", "The soup was anything but excellent."]
Kept = tuple[tuple[int, ...], ...]


def by_functions(model: Path) -> Kept:
    """Tensors in, tensors out: score the neurons of each block, choose the best half, cut the rest off."""
    bundle = load_source(str(model), head="sequence_classification", labels=("bad", "good"))
    ups = bundle.family.block_parts(bundle.model, "up")
    downs = bundle.family.block_parts(bundle.model, "down")
    scores = [unit_norms([up.weight, down.weight.T]) for up, down in zip(ups, downs, strict=True)]
    kept = best_of_each(scores, 0.5)
    keep_neurons(bundle.model, bundle.family, kept)
    return kept


def by_stage(model: Path, directory: Path) -> Kept:
    """A stage decides and applies; what it did is plain data. The saved model is a stock BERT."""
    bundle = load_source(str(model), head="sequence_classification", labels=("bad", "good"))
    pruned = STAGE.run(bundle, Context())
    save(pruned, directory)
    again = load(directory)
    print(f"saved and loaded again: {again.sketch().parameters:,} parameters, neurons {again.sketch().neurons}")
    return again.changes[-1].kept


def by_recipe(model: Path) -> Prune:
    """The same stage as a line of a recipe; `recipes.engine.run.run` would run it, save it and measure it."""
    recipe = Recipe.parse(
        {
            "name": "halve-the-neurons",
            "model": str(model),
            "task": {"text_classification": {"data": "reviews"}},
            "stages": [{"prune": {"pattern": "neurons", "sparsity": 0.5, "criterion": "magnitude", "recover": "none"}}],
        }
    )
    return recipe.stages[0]


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = Path(arguments[0]) if arguments else write_tiny_model(work / "model", SENTENCES)
        kept = by_functions(model)
        print(f"functions kept {[len(block) for block in kept]} neurons")
        print(f"the stage kept the same: {by_stage(model, work / 'pruned') == kept}")
        print(f"the recipe's stage is the same value: {by_recipe(model) == STAGE}")


if __name__ == "__main__":
    main(sys.argv[1:])
