"""The command `trimformer`. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recipes.cli import options as option_values
from recipes.cli.messages import one_message
from recipes.cli.prose import WIDEST

if TYPE_CHECKING:
    from recipes.file.recipe import Recipe
    from recipes.record import Report

__all__ = ["app", "main"]

FAILED, WRONG, MISSED = 1, 2, 3

app = typer.Typer(
    name="trimformer",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        used = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
        typer.echo(f"trimformer {version('trimformer')} ({used}, Python {sys.version.split()[0]})")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and exit.")
    ] = False,
) -> None:
    """Make a Transformer smaller by a recipe, and report what that cost. Start with: trimformer run quickstart"""


RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or a name of the book.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change one setting, a stage's by its id: stages.distill.train.epochs=1; can be repeated.",
    ),
]
Directory = Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a run.")]


class Device(str, Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@app.command(short_help="Run a recipe; what is finished and unchanged is reused.")
def run(
    recipe: RecipeName,
    out: Annotated[Path | None, typer.Option(help="Where to write; runs/<name> unless given.")] = None,
    set_: Settings = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what an earlier run left there.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every finished file, and make again what is damaged.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where models are trained.")] = Device.auto,
) -> None:
    """Run a recipe. What is finished and unchanged is reused.

    Exit code 0; 1 a stage failed; 2 the recipe is wrong; 3 a budget was missed.
    """
    from recipes.cli.launched import one_of_several

    with one_message():
        with one_of_several(device.value) as processes:
            loaded = _load(recipe, set_)
            directory = out or Path("runs") / loaded.name
            from recipes.engine.run import run as run_recipe

            report = run_recipe(loaded, out=directory, fresh=fresh, verify=verify, device=device.value)
        if not processes.main:
            return
        _show(report)
        typer.echo(f"\nreport: {directory / 'report.html'}")
        raise typer.Exit(_verdict(report))


@app.command(short_help="Find mistakes in a recipe and predict sizes, untrained.")
def check(
    recipe: RecipeName,
    set_: Settings = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Say what fits into so much memory, as in 4GB or 512MiB.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a report with the predictions, as report.json.")] = False,
) -> None:
    """Find the mistakes in a recipe and predict what it gives, without training and without weights."""
    with one_message():
        from recipes.file.recipe import memory_option

        budget = None if memory is None else memory_option(memory)
        loaded = _load(recipe, set_)
        from recipes.plan.predict import check as check_recipe

        report = check_recipe(loaded, memory=budget)
        if json:
            typer.echo(report.model_dump_json(indent=1))
        else:
            _show(report)


@app.command(short_help="Mask units layer by layer, to see what can be pruned.")
def scan(
    recipe: RecipeName,
    out: Annotated[Path | None, typer.Option(help="Where to write; runs/<name>-scan unless given.")] = None,
    set_: Settings = None,
    pattern: Annotated[
        list[str] | None,
        typer.Option(help="What is masked, as in a recipe; heads, neurons, layers, width unless given; repeatable."),
    ] = None,
    sparsities: Annotated[str, typer.Option(metavar="S,S", help="Shares that are masked.")] = "0.25,0.5,0.75",
    criterion: Annotated[str, typer.Option(help="What is masked first, as in a recipe.")] = "taylor",
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what an earlier scan left there.")] = False,
    device: Annotated[Device, typer.Option(help="Where it is computed.")] = Device.auto,
) -> None:
    """Mask units or weights, layer by layer, by type and all at once, and measure on select; trains nothing."""
    with one_message():
        loaded = _load(recipe, set_)
        shares = [option_values.share(text, "--sparsities") for text in sparsities.split(",")]
        directory = out or Path("runs") / f"{loaded.name}-scan"
        from recipes.file.yaml import parse_value
        from recipes.report.scan import markdown
        from recipes.scan import scan as scans

        patterns = [parse_value(text) for text in pattern or ()]
        asked = {"patterns": patterns, "sparsities": shares, "criterion": parse_value(criterion)}
        typer.echo(markdown(scans.scan(loaded, out=directory, **asked, fresh=fresh, device=device.value)))
        typer.echo(f"report: {directory / 'scan.html'}")


@app.command(short_help="Measure a saved model or an export: size, speed, quality.")
def measure(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A saved model, or an export.")],
    task: Annotated[str | None, typer.Option(metavar="RECIPE", help="The recipe whose data tells the quality.")] = None,
    batch_sizes: Annotated[str, typer.Option(metavar="N,N", help="Rows per call.")] = "1,8",
    lengths: Annotated[str | None, typer.Option(metavar="N,data", help="Tokens; data: the task's own.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the runtime; all unless given.")] = None,
    device: Annotated[Device, typer.Option(help="Where it is measured.")] = Device.cpu,
    set_: Settings = None,
    json: Annotated[bool, typer.Option("--json", help="Print a row of report.json.")] = False,
) -> None:
    """Measure a saved model or an export: size, speed and, with a task, quality."""
    with one_message():
        loaded = _load(task, set_) if task else None
        from recipes.measure.directory import measure_directory
        from recipes.plan.predict import usable_device

        row = measure_directory(
            directory,
            recipe=loaded,
            batch_sizes=[option_values.count(text, "--batch-sizes") for text in batch_sizes.split(",")],
            lengths=[option_values.length(text, "--lengths") for text in lengths.split(",")] if lengths else None,
            threads=threads,
            device=usable_device(device.value).type,
        )
        if json:
            typer.echo(row.model_dump_json(indent=1))
            return
        from recipes.record import Report

        _show(Report(name=str(directory), recipe={}, rows=[row]))


@app.command(short_help="Put runs side by side, or any two rows of a run.")
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Directories of runs.")],
    pair: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="Two rows of each run, compared on the same examples.")
    ] = None,
) -> None:
    """Put the rows of several runs side by side, or any two rows of a run."""
    with one_message():
        from recipes.report import compare as compare_runs
        from recipes.report import terminal
        from recipes.report.comparing.pairing import pair_named, paired_rows
        from recipes.report.comparing.run_files import read_run

        if pair:
            named = [pair_named(text) for text in pair]
            for run in runs:
                found = read_run(run)
                terminal.show_pairs(found, [paired_rows(run, found, *each) for each in named])
        else:
            terminal.show_comparison(compare_runs(runs))


@app.command(short_help="Draw the report of a run again and print it.")
def report(directory: Directory) -> None:
    """Draw the report of a run again and print it."""
    with one_message():
        from recipes import report as views
        from recipes.report.comparing.run_files import read_run

        read = read_run(directory)
        views.write(read, directory)
        _show(read)
        typer.echo(f"\nreport: {directory / 'report.html'}")


@app.command("list", short_help="List what a recipe can name: stages, criteria, losses, ...")
def list_(kind: Annotated[str | None, typer.Argument(help="stages, criteria, losses, recipes, ...")] = None) -> None:
    """List what a recipe can name: stages, criteria, losses, formats, tasks, families, recipes."""
    with one_message():
        from rich.console import Console

        from recipes.cli.show import list_kind
        from recipes.file.catalogue import kinds

        for each in [kind] if kind else kinds():
            list_kind(each, Console(highlight=False))


@app.command(short_help="Show all about one name: settings, defaults, an example.")
def show(
    name: Annotated[str, typer.Argument(help="A stage, a criterion, a key of a recipe, a recipe of the book, ...")],
) -> None:
    """Show all about one name: what it does, its settings and defaults, a line of a recipe; `train` shows a plan's."""
    with one_message():
        from rich.console import Console

        from recipes.cli.show import show_entry
        from recipes.file.catalogue import find_entries

        for entry in find_entries(name):
            show_entry(entry, Console(highlight=False))


@app.command(short_help="Print the JSON schema of a recipe, for editors.")
def schema() -> None:
    """Print the JSON schema of a recipe, for editors."""
    with one_message():
        import json

        from recipes.file.recipe import Recipe

        typer.echo(json.dumps(Recipe.model_json_schema(), indent=1))


def main() -> None:
    """The entry point of the command."""
    app()


def _load(recipe: str, overrides: list[str] | None) -> Recipe:
    from recipes.file.recipe import Recipe

    return Recipe.load(recipe, tuple(overrides or ()))


def _show(report: Report) -> None:
    from recipes.report.terminal import show as show_report

    show_report(report)


def _verdict(report: Report) -> int:
    if report.failed:
        return FAILED
    return MISSED if any(line.verdict == "missed" for line in report.budget) else 0


if __name__ == "__main__":
    sys.exit(app())
