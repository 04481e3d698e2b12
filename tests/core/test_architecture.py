"""The rules of the house: imports point one way, files stay small, only the command line prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import timeloom

SOURCE = Path(timeloom.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
MOST_LINES = 400

# what each part may import besides itself; a new part has to take its place here
BASE = {"errors", "progress", "threads", "config", "files", "checkpoint", "data", "muon"}
MODELS = {"tokenizer", "prior", "ssl", "encoders"}
ALLOWED = {
    "errors": set[str](),
    "progress": set[str](),
    "threads": set[str](),
    "muon": set[str](),
    "config": {"errors"},
    "files": {"errors"},
    "checkpoint": {"errors", "files"},
    "data": {"errors", "progress", "config", "files"},
    "ssl": {"errors", "config"},
    "tokenizer": BASE | {"ssl"},
    "prior": BASE | {"tokenizer"},
    "encoders": BASE | {"ssl"},
    "training": BASE | MODELS,
    "evaluation": BASE | MODELS,
    "stages": BASE | MODELS | {"training", "evaluation"},
    "generator": BASE | MODELS | {"training", "evaluation", "stages"},
    "cli": BASE | MODELS | {"training", "evaluation", "stages", "generator"},
}


def module_name(path: Path) -> str:
    parts = ["timeloom", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def imported(path: Path) -> Iterator[str]:
    """Modules of ours that a file names in an import, lazy ones too."""
    package = module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "timeloom")
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base.split(".")[0] != "timeloom":
                continue
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in MODULES else base


def part(module: str) -> str:
    """The piece of the house that a module belongs to; the package itself (its version) has no name."""
    return [*module.split("."), ""][1]


def test_the_parser_sees_the_imports_that_are_known_to_be_there() -> None:
    seen = set(imported(MODULES["timeloom.stages.sample"]))
    assert {"timeloom", "timeloom.errors", "timeloom.stages.train_prior", "timeloom.prior.decoding"} <= seen


@pytest.mark.parametrize("path", [p for p in FILES if p.parent != SOURCE or p.name != "__init__.py"], ids=module_name)
def test_imports_point_one_way(path: Path) -> None:
    mine = part(module_name(path))
    assert mine in ALLOWED, f"{mine} has no place in the layers"
    for target in imported(path):
        other = part(target)
        assert other in ALLOWED[mine] | {mine, ""}, f"{module_name(path)} imports {target}"
        if mine in ("tokenizer", "prior") and other == "data":
            assert target == "timeloom.data.spec", f"{module_name(path)} imports {target}: models read no data"


def test_the_front_door_loads_nothing_but_the_errors() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    eager = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert eager == {"__future__", "typing", "timeloom.errors"}


def test_there_is_no_circle_of_imports() -> None:
    # the front door imports the generator lazily and is itself asked only for the version
    graph = {name: set(imported(path)) - {name, "timeloom"} for name, path in MODULES.items() if name != "timeloom"}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' -> '.join(error.args[1])}")
    assert order.index("timeloom.errors") < order.index("timeloom.checkpoint") < order.index("timeloom.stages.sample")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_file_is_long(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{path.name} has {lines} lines"


@pytest.mark.parametrize("path", [p for p in FILES if part(module_name(p)) != "cli"], ids=module_name)
def test_only_the_command_line_prints(path: Path) -> None:
    calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    assert not [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
