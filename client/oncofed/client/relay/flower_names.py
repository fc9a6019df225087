"""How do we replace a part of Flower that has no hook, and notice when it is no longer there?

Setting an attribute that nobody reads would take a defence away without a word. So each replacement first checks
that the name is there; tests/contracts/test_flwr_deployment_names.py checks that Flower still uses it.
"""

from __future__ import annotations

from types import ModuleType


def replace_in(module: ModuleType, name: str, replacement: object) -> None:
    """Set the module's attribute. Raises RuntimeError when it has none of that name."""
    if not hasattr(module, name):
        raise RuntimeError(f"{module.__name__} has no {name}: this version of Flower does not suit this oncofed")
    setattr(module, name, replacement)
