"""The arrows of docs/architecture.md, no circles, the ban on pickles, and that counts cannot reach a prediction."""

import ast
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

from engine.posts import TEXT_FIELDS, Post
from training.tables import COUNTS

ROOT = Path(__file__).parents[2]
ROOMS = ("engine", "training", "ui", "dashboard", "benchmarks")
MODULES = sorted(
    [ROOT / "app.py", ROOT / "serve.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
)

# What each room may never import, directly or inside a function.
FORBIDDEN = {
    "engine": {"training", "ui", "dashboard", "app", "benchmarks", "tests", "gradio", "streamlit", "spaces"},
    "training": {"ui", "dashboard", "app", "benchmarks", "tests", "gradio", "streamlit", "spaces"},
    "ui": {"training", "dashboard", "app", "benchmarks", "tests", "streamlit"},
    "dashboard": {"training", "ui", "app", "benchmarks", "tests", "gradio", "spaces"},
    "app.py": {"training", "benchmarks", "tests"},
    "serve.py": {"training", "benchmarks", "tests"},
    "benchmarks": {"tests"},
}
# The floors of training: a module may import its own floor and lower ones. Recipes and tables.py stand beside them, for
# all to import, and know the engine alone.
FLOORS = {"data": 0, "features": 1, "metrics": 1, "modeling": 2, "evaluation": 3, "steps": 4}
BESIDE = {"recipes", "tables"}
PICKLES = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
UNPICKLING_CALLS = {"read_pickle", "to_pickle"}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(tree: ast.AST, path: Path) -> Iterator[str]:
    """Top-level names of everything a module imports, wherever in it, by statement or by `import_module("…")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield room_of(path) if node.level else str(node.module).partition(".")[0]
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__") and node.args:
            text = ast.unparse(node.args[0]).lstrip("f").strip("'\"")
            yield text.partition(".")[0]


def called(node: ast.Call) -> str:
    """Last name of what is called: `load` of `torch.load(…)`."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def test_there_are_modules_in_every_room(trees: dict[Path, ast.Module]) -> None:
    assert {room_of(path) for path in trees} == set(FORBIDDEN)
    assert len(trees) > 60


def test_arrows_only_go_down(trees: dict[Path, ast.Module]) -> None:
    wrong = [
        f"{name_of(path)} imports {name}"
        for path, tree in trees.items()
        for name in set(imports(tree, path)) & FORBIDDEN[room_of(path)]
    ]
    assert not wrong


def test_an_upward_import_would_be_found() -> None:
    for text in (
        "import gradio as gr",
        "def f():\n    from training.tables import x",
        "import_module('ui.model')",
    ):
        found = set(imports(ast.parse(text), ROOT / "engine" / "posts.py"))
        assert found & FORBIDDEN["engine"]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements anywhere in a module, but for those that only the type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from statements(ast.Module([other], []))
        else:
            yield from statements(node)


def imported_modules(tree: ast.AST, module: str, known: set[str]) -> set[str]:
    """The project's own modules that a module imports; `from a import b` is a.b where that is a module, else a."""
    found = set()
    for node in statements(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            above = module.split(".")[: -node.level] if node.level else []
            parent = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{parent}.{alias.name}" for alias in node.names}
            found |= (names & known) | ({parent} if names - known else set())
    return found & known


@pytest.fixture(scope="module")
def arrows(trees: dict[Path, ast.Module]) -> dict[str, set[str]]:
    known = {module_name(path) for path in trees}
    return {module_name(path): imported_modules(tree, module_name(path), known) for path, tree in trees.items()}


def test_floors_of_training_know_nothing_of_higher_ones(arrows: dict[str, set[str]]) -> None:
    def place(module: str) -> str:
        return module.removeprefix("training").strip(".").partition(".")[0]

    inside = {module: found for module, found in arrows.items() if module.startswith("training.")}
    assert {place(module) for module in inside} == {*FLOORS, *BESIDE, "__main__"}
    wrong = []
    for module, found in inside.items():
        own = place(module)
        for other in (name for name in found if name.startswith("training.")):
            floor = place(other)
            lower = floor == own or floor in BESIDE or FLOORS.get(floor, 9) < FLOORS.get(own, 0)
            beside = own in BESIDE and floor != own
            if own != "__main__" and (beside or not lower):
                wrong.append(f"{module} imports {other}")
    assert not wrong


def test_there_is_no_circle(arrows: dict[str, set[str]]) -> None:
    """Also none through imports inside functions: they put a circle off, they do not undo it."""
    graph = nx.DiGraph([(module, other) for module, found in arrows.items() for other in found])
    circles = [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
    assert not circles + [[module] for module in nx.nodes_with_selfloops(graph)]


def test_a_circle_would_be_found() -> None:
    known = {"engine.a", "engine.b", "engine.b.c"}
    for text in ("from engine.b import c", "def f():\n    import engine.b.c", "from .b import c", "from .b.c import x"):
        assert imported_modules(ast.parse(text), "engine.a", known) == {"engine.b.c"}
    assert imported_modules(ast.parse("from engine.b import x, c"), "engine.a", known) == {"engine.b", "engine.b.c"}
    hidden = "if TYPE_CHECKING:\n    from engine.b import c\nelse:\n    import engine.b"
    assert imported_modules(ast.parse(hidden), "engine.a", known) == {"engine.b"}


def test_the_engine_runs_without_the_rooms_above() -> None:
    """Also through third parties: loading everything in the engine pulls in no web framework of this project."""
    modules = [name_of(path)[:-3].replace("/", ".") for path in MODULES if room_of(path) == "engine"]
    modules = [name.removesuffix(".__init__") for name in modules if not name.endswith("__main__")]
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(*sorted({'gradio', 'streamlit', 'training', 'ui', 'dashboard', 'app'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_nothing_is_pickled_or_unpickled(trees: dict[Path, ast.Module]) -> None:
    wrong = []
    for path, tree in trees.items():
        wrong += [f"{name_of(path)} imports {name}" for name in set(imports(tree, path)) & PICKLES]
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            where = f"{name_of(path)}:{node.lineno}"
            if called(node) in UNPICKLING_CALLS or options.get("allow_pickle") == "True":
                wrong.append(f"{where} unpickles")
            if ast.unparse(node.func) == "torch.load" and options.get("weights_only") != "True":
                wrong.append(f"{where} calls torch.load without weights_only=True")
    assert not wrong


def test_a_post_has_no_field_for_counts() -> None:
    fields = {field.name for field in dataclasses.fields(Post)}
    context = {"published_at", "place", "author", "category"}
    assert fields == {"title", "image", "tags", "description", "post_id"} | context
    assert not fields & {*COUNTS, "dislikes", "score", "level", "engagement", "subscribers"}
    assert set(TEXT_FIELDS) <= fields
    for count in COUNTS:
        with pytest.raises(TypeError):
            Post(title="x", **{count: 1})  # type: ignore[arg-type]
    with pytest.raises((AttributeError, TypeError, dataclasses.FrozenInstanceError)):
        Post(title="x").likes = 1  # type: ignore[attr-defined]


def test_modules_are_one_idea_each() -> None:
    long = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert not {name: lines for name, lines in long.items() if lines > 300}


def test_every_module_says_what_it_is(trees: dict[Path, ast.Module]) -> None:
    bare = [name_of(path) for path, tree in trees.items() if tree.body and not ast.get_docstring(tree)]
    assert not bare
