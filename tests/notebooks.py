"""How is a notebook run in a test? Its code cells one after the other, in one namespace, as a kernel would.

There is no Jupyter among the dependencies. What a kernel does beyond this (magics, widgets) our notebooks do not use.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any


def run_notebook(path: Path) -> list[Any]:
    """What the last line of each code cell shows; None where it shows nothing. What a cell raises comes out."""
    notebook = json.loads(path.read_text())
    assert notebook["nbformat"] == 4
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells), "outputs are not kept: they would show patients"
    return [
        _shown("".join(cell["source"]), f"{path.name}, cell {place}", namespace) for place, cell in enumerate(cells)
    ]


def _shown(source: str, name: str, namespace: dict[str, Any]) -> Any:
    body = ast.parse(source, name).body
    last = body.pop().value if body and isinstance(body[-1], ast.Expr) else None  # type: ignore[attr-defined]  # an Expr
    exec(compile(ast.Module(body, []), name, "exec"), namespace)
    return None if last is None else eval(compile(ast.Expression(last), name, "eval"), namespace)
