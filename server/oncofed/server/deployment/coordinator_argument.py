"""Which coordinator, hospital and study does a command mean?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.folder_argument import NamedFolder

if TYPE_CHECKING:
    from oncofed.server.deployment.folder import CoordinatorFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


def _folder_of(context: click.Context, parameter: click.Parameter, value: Path) -> CoordinatorFolder:
    from oncofed.server.deployment.folder import CoordinatorFolder

    return CoordinatorFolder(value.resolve())


def _coordinators(context: click.Context, parameter: click.Parameter, value: Path) -> CoordinatorFolder:
    from oncofed.server.deployment.folder import refuse_other_folder

    folder = _folder_of(context, parameter, value)
    refuse_other_folder(folder)  # before anything is made there
    return folder


_PATH = NamedFolder(file_okay=False, path_type=Path)
FOLDER = click.argument("folder", metavar="COORD", type=_PATH, callback=_coordinators)
NEW_FOLDER = click.argument("folder", metavar="COORD", type=_PATH, callback=_folder_of)
HOSPITAL = click.argument("hospital", metavar="HOSPITAL")
STUDY = click.argument("study", metavar="[HASH]", required=False)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
