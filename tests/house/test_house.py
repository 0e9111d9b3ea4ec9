"""What must hold for every file, so that no review has to look for it. Much of it is held by ruff: see pyproject."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.sources import (
    PACKAGES,
    ROOT,
    files_of_tests,
    functions,
    imports,
    module_name,
    parsed,
    source_files,
)

STATEMENT_LINES, FILE_LINES = 40, 300
FAMILY_HOME = ROOT / "compress" / "core" / "families"


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def starts(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def found(files: list[Path], look) -> list[str]:
    """`file:line what` of everything that `look` yields (node or line number, words)."""
    return [f"{relative(file)}:{getattr(at, 'lineno', at)} {what}" for file in files for at, what in look(file)]


def test_the_core_imports_nothing_of_the_methods():
    allowed = ("compress.core", "compress")
    wrong = [
        f"{relative(file)} imports {name}"
        for file in source_files("compress/core")
        for name in imports(file)
        if starts(name, PACKAGES) and name not in allowed and not starts(name, ("compress.core",))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "module", ["recipes.report", "recipes.cli.app", "recipes.file.recipe", "recipes.file.yaml", "recipes.record"]
)
def test_torch_is_not_imported_with(module):
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_files_are_short():
    lengths = {relative(file): len(file.read_text("utf-8").splitlines()) for file in source_files()}
    assert {name: length for name, length in lengths.items() if length > FILE_LINES} == {}


def test_function_bodies_are_short():
    def long(file):
        for function in functions(file):
            body = function.body[1:] if ast.get_docstring(function) else function.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if lines > STATEMENT_LINES:
                yield function, f"{function.name} has {lines} lines"

    assert found(source_files(), long) == []


def test_torch_loads_weights_only():
    def loads(file):
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = any(k.arg == "weights_only" and getattr(k.value, "value", None) is True for k in node.keywords)
                if not safe:
                    yield node, "torch.load without weights_only=True"

    assert found(source_files(), loads) == []


def test_only_the_families_know_their_names():
    from compress.core.families.family import families

    names = set(families())

    def compared(file):
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.Compare) and "model_type" in ast.unparse(node):
                sides = [node.left, *node.comparators]
                values = [v.value for side in sides for v in ast.walk(side) if isinstance(v, ast.Constant)]
                if names & {value for value in values if isinstance(value, str)}:
                    yield node, ast.unparse(node)

    outside = [file for file in source_files() if FAMILY_HOME not in file.parents]
    assert found(outside, compared) == []


def test_every_public_name_is_there():
    wrong = []
    for file in source_files():
        declared, bound = _declared(file) or [], _bound(parsed(file))
        wrong += [f"{relative(file)}: {name} is not there" for name in declared if name not in bound]
        wrong += [f"{relative(file)}: {name} is there twice" for name in set(declared) if declared.count(name) > 1]
    assert wrong == []


@pytest.mark.parametrize("package", ["compress", "finetune", "recipes"])
def test_what_a_package_gives_late_is_there(package):
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_what_another_module_imports_is_public():
    public = {module_name(file): _declared(file) for file in source_files()}
    wrong = []
    for file in source_files():
        for node in ast.walk(parsed(file)):
            declared = public.get(node.module or "") if isinstance(node, ast.ImportFrom) else None
            if declared is not None:
                names = [alias.name for alias in node.names if f"{node.module}.{alias.name}" not in public]
                wrong += [
                    f"{relative(file)}: {n} is not in __all__ of {node.module}" for n in names if n not in declared
                ]
    assert wrong == []


def test_every_test_asserts_something():
    def idle(file):
        for function in functions(file):
            if function.name.startswith("test_") and not _asserts(function):
                yield function, function.name

    assert found(files_of_tests(), idle) == []


def _declared(file: Path) -> list[str] | None:
    """What `__all__` lists, or None where there is none."""
    for node in parsed(file).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def _bound(node: ast.AST) -> set[str]:
    """The names that importing a module binds, those for types too."""
    names: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(child.name)
        elif isinstance(child, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in child.names}
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            names.add(child.id)
        else:
            names |= _bound(child)
    return names


def _asserts(function: ast.AST) -> bool:
    """An assert, an expected exception, or a helper that is named for what it asserts."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call) and re.search(
            r"raises|warns|\bassert_|\.assert_|refused|check_|expect", ast.unparse(node.func)
        ):
            return True
    return False
