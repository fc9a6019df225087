"""How often does the code ask which privacy mode it is in? `python -m tests.contracts.privacy_branches` lists it.

A branch is a condition (if, while, assert, conditional expression, comprehension, match) that names a mode, looks
whether noise is shared, or asks for the type of a release or of its event. What is released is decided in one place
(`privacy.releases`); each further place may decide otherwise.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOTS = ("shared", "client", "server", "simulations")
_ASKING_MODES = {"PrivacyMode"}
_ASKING_ATTRIBUTES = {"shares", "is_shared", "is_protected", "needs_everybody"}
_TYPES = {"GaussianRelease", "SampledGaussianRelease", "SharedIntegerRelease", "SampledIntegerRelease"}
_TYPES |= {"Unprotected", "Local", "Masked"}


def branches(path: Path) -> list[int]:
    """The lines of the branches in one file."""
    return sorted({test.lineno for test in _conditions(ast.parse(path.read_text())) if _asks(test)})


def _conditions(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
            yield node.test
        elif isinstance(node, ast.comprehension):
            yield from node.ifs
        elif isinstance(node, ast.Match):
            yield node.subject
        elif isinstance(node, ast.Return | ast.Assign) and isinstance(node.value, ast.Compare | ast.BoolOp):
            yield node.value


def _asks(test: ast.expr) -> bool:
    for node in ast.walk(test):
        if isinstance(node, ast.Attribute) and node.attr in _ASKING_ATTRIBUTES:
            return True
        if isinstance(node, ast.Name) and (node.id in _ASKING_MODES or node.id == "shares"):
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            named = {each.id for each in ast.walk(node.args[1]) if isinstance(each, ast.Name)}
            if named & _TYPES:
                return True
    return False


def all_branches(root: Path) -> dict[str, list[int]]:
    """By file, those that have any."""
    files = (path for name in ROOTS for path in sorted((root / name).rglob("*.py")))
    return {str(path.relative_to(root)): found for path in files if (found := branches(path))}


if __name__ == "__main__":
    counted = all_branches(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    for file, lines in counted.items():
        sys.stdout.write(f"{len(lines):3} {file}: {', '.join(map(str, lines))}\n")
    sys.stdout.write(f"{sum(map(len, counted.values()))} in {len(counted)} files\n")
