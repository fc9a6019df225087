"""Which folder does a command mean? One that is named.

Refuses an empty word, as a shell variable gives that is not set: it would be the current folder, whatever that is.
"""

from __future__ import annotations

import os
from typing import Any

import click


class NamedFolder(click.Path):
    """A parameter's type, like click.Path for folders."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path. Fails as click does."""
        if not os.fspath(value):
            self.fail("The folder's name is empty, which would mean the current folder. Name it.", param, ctx)
        return super().convert(value, param, ctx)
