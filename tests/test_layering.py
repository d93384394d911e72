"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Each may import itself and what stands before it.
LAYERS = ("traces", "simnet", "analysis", "figures")
DRAWING = {"matplotlib", "seaborn"}
FUNCTION_LINES = 60
FILE_LINES = 400
POSITIONAL = 5
# Preceded by a word it is part of a longer path or of an address, which is fine.
MACHINE_PATH = re.compile(r"(?<![\w.~])/(home|work|root|tmp)/")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A file of the project; `path` is relative to its root."""

    path: Path
    text: str

    @property
    def package(self) -> str:
        """The top folder."""
        return self.path.parts[0]

    @property
    def nodes(self) -> Iterator[ast.AST]:
        """Everything in the file, inside functions and `if TYPE_CHECKING` too."""
        return ast.walk(ast.parse(self.text))

    @property
    def functions(self) -> Iterator[Function]:
        """Every function and method."""
        return (node for node in self.nodes if isinstance(node, Function))

    @property
    def imports(self) -> Iterator[tuple[int, str]]:
        """(line, top-level package) of each absolute import."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name.split(".")[0]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.lineno, (node.module or "").split(".")[0]


Rule = Callable[[Source], Iterator[tuple[int, str]]]


def _upward(source: Source) -> Iterator[tuple[int, str]]:
    above = LAYERS[LAYERS.index(source.package) + 1 :]
    for line, name in source.imports:
        if name in above:
            yield line, f"{source.package} imports {name}: figures -> analysis -> simnet -> traces"


def _draws(source: Source) -> Iterator[tuple[int, str]]:
    for line, name in source.imports:
        if name in DRAWING and source.package != "figures":
            yield line, f"imports {name}: only figures draws"


def _long_function(source: Source) -> Iterator[tuple[int, str]]:
    for function in source.functions:
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        first = function.body[0]
        if ast.get_docstring(function, clean=False) is not None:
            lines -= (first.end_lineno or first.lineno) - first.lineno + 1
        if lines > FUNCTION_LINES:
            yield function.lineno, f"{function.name} has {lines} lines, at most {FUNCTION_LINES}"


def _long_file(source: Source) -> Iterator[tuple[int, str]]:
    lines = len(source.text.splitlines())
    if lines > FILE_LINES:
        yield FILE_LINES + 1, f"the file has {lines} lines, at most {FILE_LINES}"


def _many_parameters(source: Source) -> Iterator[tuple[int, str]]:
    for function in source.functions:
        names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > POSITIONAL:
            yield function.lineno, f"{function.name} has {count} positional parameters"


def _no_docstring(source: Source) -> Iterator[tuple[int, str]]:
    private = source.path.name.startswith("_") and source.path.name != "__init__.py"
    if not private and not ast.get_docstring(ast.parse(source.text)):
        yield 1, "the module has no docstring"


def _machine_path(source: Source) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.text.splitlines(), start=1):
        if MACHINE_PATH.search(line):
            yield number, f"an absolute path of one machine: {line.strip()}"


def _files(folders: tuple[str, ...], suffixes: tuple[str, ...] = (".py",)) -> list[Source]:
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*")))
    return [
        Source(path.relative_to(ROOT), path.read_text())
        for path in paths
        if path.suffix in suffixes and path.is_file()
    ]


def _written() -> list[Source]:
    texts = (".py", ".md", ".toml", ".json", ".txt", ".csv", ".html", ".j2")
    top = [path for path in ROOT.iterdir() if path.suffix in texts or path.name == "Makefile"]
    return [
        *_files((*LAYERS, "tests", "docs", ".ci"), (*texts, "")),
        *(Source(path.relative_to(ROOT), path.read_text()) for path in sorted(top)),
    ]


def _faults(rule: Rule, sources: list[Source]) -> str:
    return "\n".join(
        f"{source.path}:{line}: {fault}" for source in sources for line, fault in rule(source)
    )


@pytest.mark.parametrize("rule", [_upward, _draws, _no_docstring])
def test_every_module_of_the_packages_keeps(rule: Rule) -> None:
    """Imports point one way, only figures draws, and each module says what it is."""
    assert _faults(rule, _files(LAYERS)) == ""


@pytest.mark.parametrize("rule", [_long_function, _long_file, _many_parameters])
def test_packages_and_tests_keep(rule: Rule) -> None:
    """Functions, files and lists of parameters stay short enough to read."""
    assert _faults(rule, _files((*LAYERS, "tests"))) == ""


def test_nothing_names_a_path_of_one_machine() -> None:
    """Source, tests and docs hold wherever the project is checked out."""
    assert _faults(_machine_path, _written()) == ""


@pytest.mark.parametrize(
    ("rule", "path", "text", "line"),
    [
        (_upward, "traces/a.py", '"""."""\ndef f():\n    from simnet.job import Job\n', 3),
        (_upward, "simnet/a.py", "if TYPE_CHECKING:\n    import figures.bars\n", 2),
        (_draws, "analysis/a.py", "import os\nimport matplotlib.pyplot as plt\n", 2),
        (_long_function, "simnet/a.py", "def f():\n" + "    pass\n" * 60, 1),
        (_long_file, "simnet/a.py", "pass\n" * 401, 401),
        (_many_parameters, "simnet/a.py", "def f(a, b, c, d, e, f): pass\n", 1),
        (_no_docstring, "simnet/a.py", "import os\n", 1),
        (_machine_path, "docs/a.md", "Text.\nSee `/" + "tmp/x`.\n", 2),
    ],
)
def test_a_planted_fault_is_found(rule: Rule, path: str, text: str, line: int) -> None:
    """Each rule finds a breach of it, and names the file and the line."""
    assert _faults(rule, [Source(Path(path), text)]).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (_upward, "figures/a.py", "import traces, simnet.job\nfrom analysis import age\n"),
        (_draws, "figures/a.py", "import seaborn\n"),
        (
            _long_function,
            "simnet/a.py",
            'def f():\n    """A.\n\n    B.\n    """\n' + "    pass\n" * 59,
        ),
        (_many_parameters, "simnet/a.py", "class C:\n    def f(self, a, b, c, d, e, *, g): pass\n"),
        (_machine_path, "docs/a.md", "https://example.org/home/page and out/work/x\n"),
    ],
)
def test_what_is_allowed_is_not_a_fault(rule: Rule, path: str, text: str) -> None:
    """Downward imports, docstrings, keyword-only parameters and addresses are free."""
    assert _faults(rule, [Source(Path(path), text)]) == ""
