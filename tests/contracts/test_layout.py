"""Does the repository keep the shape that packaging and the import contracts rely on?"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = ("shared", "client", "server", "simulations")


def portions() -> set[str]:
    return {
        f"oncofed.{folder.name}"
        for root in ROOTS
        for folder in (REPOSITORY / root / "oncofed").iterdir()
        if folder.is_dir() and folder.name != "__pycache__"
    }


def test_oncofed_is_a_namespace_package_so_that_its_roots_can_be_installed_apart() -> None:
    assert [root for root in ROOTS if (REPOSITORY / root / "oncofed" / "__init__.py").exists()] == []


def test_the_import_contracts_cover_every_portion() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert set(settings["tool"]["importlinter"]["root_packages"]) == portions()


def test_nothing_but_simulations_imports_the_lab() -> None:
    """A module of its own in the namespace, which import contracts do not see."""
    files = [path for root in ROOTS for path in (REPOSITORY / root).rglob("*.py")]
    naming = {path for path in files if re.search(r"^ *(from|import) oncofed\.lab\b", path.read_text(), re.MULTILINE)}
    assert naming == set()


def test_no_guard_of_a_hospital_computes_other_sums_than_those_of_its_plan_and_patients() -> None:
    """The guard has one, of the plan's network; the others are simulations', which a hospital never imports."""
    files = [path for root in ROOTS for path in (REPOSITORY / root).rglob("*.py")]
    computing = {str(path.relative_to(REPOSITORY)) for path in files if "def _round_sum(" in path.read_text()}
    assert computing == {
        "client/oncofed/client/guard/guard.py",
        "simulations/oncofed/simulations/lab/other_network.py",
        "simulations/oncofed/simulations/robustness/poisoned_guards.py",
        "simulations/oncofed/simulations/sums_together.py",
    }


def test_init_files_are_empty_so_that_importing_a_package_imports_nothing_else() -> None:
    filled = [path for root in ROOTS for path in (REPOSITORY / root).rglob("__init__.py") if path.read_text().strip()]
    assert filled == []


def test_nothing_of_ours_draws_with_matplotlib() -> None:
    """Captum requires it, so it is installed; figures are our own SVG, read back by tests."""
    imported = {
        (path.relative_to(REPOSITORY).as_posix(), name.partition(".")[0])
        for root in (*ROOTS, "tests")
        for path in (REPOSITORY / root).rglob("*.py")
        for name in imported_by(path.read_text(encoding="utf-8"))
    }
    assert "markupsafe" in {name for _, name in imported}, "the check must see what is imported"
    assert [path for path, name in imported if name == "matplotlib"] == []
    files = [REPOSITORY / "pyproject.toml", *(REPOSITORY / root / "pyproject.toml" for root in ROOTS)]
    asked: list[str] = []
    for settings in (tomllib.loads(path.read_text()) for path in files if path.exists()):
        project = settings.get("project", {})
        asked += project.get("dependencies", [])
        groups = [*project.get("optional-dependencies", {}).values(), *settings.get("dependency-groups", {}).values()]
        asked += [each for group in groups for each in group if isinstance(each, str)]
    assert [each for each in asked if each.startswith("numpy")], "the check must see what is asked for"
    assert [each for each in asked if each.startswith("matplotlib")] == []


def test_an_import_is_seen_wherever_it_stands() -> None:
    text = "import os, a.b\ndef f():\n    from c.d import e\n    from . import g\n    import_module('h.i')"
    assert imported_by(text) == {"os", "a.b", "c.d", "h.i"}


def imported_by(text: str) -> set[str]:
    """Names of modules in whatever imports stand in this program, also late and by name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in ("import_module", "__import__"):
                named = [each.value for each in node.args if isinstance(each, ast.Constant)]
                found |= {each for each in named if isinstance(each, str)}
    return found


def modules_after(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_relay_imports_no_torch() -> None:
    loaded = modules_after("import oncofed.client.relay.relay")
    assert "flwr" in loaded, "the check must see what is imported"
    assert not {"torch", "opacus", "captum", "pandas"} & loaded


def test_the_guards_process_loads_nothing_it_does_not_need() -> None:
    """It stands before the patients: what it loads can read them. Flower, plots, attributions: other processes."""
    loaded = modules_after("import oncofed.client.guard.process")
    assert "torch" in loaded, "the check must see what is imported"
    assert not {"opacus", "captum", "matplotlib", "PIL", "flwr", "sympy", "starlette", "dp_accounting", "ray"} & loaded
    assert not {name for name in loaded if name.startswith(("oncofed.server", "oncofed.simulations"))}
    assert not {name for name in loaded if name.startswith("oncofed.client.pages")}


def test_a_wrong_study_file_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    """Torch takes seconds, which a misspelt setting shall not cost."""
    (tmp_path / "study.toml").write_text("[privaci]\n")
    arguments = ["oncofed", "simulate", str(tmp_path / "study.toml"), "--out", str(tmp_path / "run")]
    loaded = modules_after(
        f"import sys; sys.argv = {arguments}\n"
        "import contextlib, io\n"
        "from oncofed.cli import main\n"
        "said = io.StringIO()\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stderr(said):\n    main()\n"
        "assert 'privaci' in said.getvalue()"
    )
    assert "oncofed.simulations.study" in loaded, "the check must see what is imported"
    assert not {"torch", "flwr", "pandas", "scipy", "oncofed.client.guard.guard", "oncofed.server.flower.app"} & loaded


def test_help_imports_neither_torch_nor_either_end() -> None:
    loaded = modules_after(
        "import sys; sys.argv = ['oncofed', '--help']\n"
        "import contextlib, io\n"
        "from oncofed.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n    main()"
    )
    assert "oncofed.simulations.commands" in loaded, "help lists the commands"
    assert not {"torch", "flwr", "pandas", "oncofed.client.guard.guard", "oncofed.server.flower.app"} & loaded


def test_the_way_of_the_data_is_twelve_files_to_read_and_each_is_there() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    way = readme[readme.index("## The way of the data") :]
    rows = re.findall(
        r"^\| (?!step|---)[^|]+\| `(oncofed[a-z_.]+)` \|([^|]*)\|$", way[: way.index("\n## ")], re.MULTILINE
    )
    assert len(rows) == way[: way.index("\n## ")].count("\n| ") - 1 == 12
    found = {
        ".".join(path.relative_to(REPOSITORY / root).with_suffix("").parts)
        for root in ROOTS
        for path in (REPOSITORY / root).rglob("*.py")
    }
    named = [read for read, _ in rows]
    for _, beside in rows:
        before = ""
        for name in re.findall(r"`([a-z_.]+)`", beside):
            before = name if name[0] != "." else before.rpartition(".")[0] + name
            named.append(before if before in found else f"{before}.__init__")
    assert [name for name in named if name not in found] == []
