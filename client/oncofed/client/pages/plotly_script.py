"""Where is Plotly's script, and which styles of its own must it be kept from writing?

The script comes with the Python package of the extra `pages` and is served from there, so that nothing is fetched from
outside. Parts of it write a style into the page unless an element of a certain name is there already; the content
policy would refuse that, so the pages hold those names.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from oncofed.errors import Fault, InvalidInput

_STYLE = re.compile(rb'getElementById\("([0-9a-f]{64})"\)')


@cache
def plotly_script() -> Path:
    """Raises InvalidInput when the package is not installed."""
    try:
        found = Path(str(files("plotly").joinpath("package_data", "plotly.min.js")))
    except ModuleNotFoundError:
        found = None
    if found is None or not found.is_file():
        raise InvalidInput([Fault("pages", "Plotly is not installed", "Install it: pip install 'oncofed[pages]'.")])
    return found


@cache
def plotly_styles() -> tuple[str, ...]:
    """The names by which the script knows that a style has been written."""
    return tuple(dict.fromkeys(name.decode() for name in _STYLE.findall(plotly_script().read_bytes())))
