"""Which node does a command mean, and as which user does it go on?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.folder_argument import NamedFolder

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


def _folder_of(context: click.Context, parameter: click.Parameter, value: Path) -> NodeFolder:
    from oncofed.client.install.folder import NodeFolder

    return NodeFolder(Path(os.path.realpath(value)))  # of a loop of links too


def _settled(context: click.Context, parameter: click.Parameter, value: Path) -> NodeFolder:
    from oncofed.client.install.replacement import refuse_unsettled

    folder = _folder_of(context, parameter, value)
    refuse_unsettled(folder.root)
    return folder


_TYPE = NamedFolder(file_okay=False, path_type=Path)
NODE = click.argument("folder", metavar="NODE", type=_TYPE, callback=_settled)
NODE_AS_IT_LIES = click.argument("folder", metavar="NODE", type=_TYPE, callback=_folder_of)
"""For the command that puts right what a killed restore left."""


def go_on_as(role: str, folder: NodeFolder) -> None:
    """Go on as the user this part of the node belongs to, when root and the node has users of its own."""
    from oncofed.client.install.folder import read_site
    from oncofed.client.install.setup import become

    become(role, read_site(folder).users)
