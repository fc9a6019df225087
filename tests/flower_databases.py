"""Does a test leave a database of Flower's open? None may: Python 3.13 warns of a connection that nobody closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from flwr.supercore import sql_mixin
from sqlalchemy import create_engine


@contextmanager
def databases_closed() -> Iterator[None]:
    """Flower has no word to close the states that it makes: each of its engines is disposed of here."""
    with ExitStack() as opened, pytest.MonkeyPatch.context() as patch:

        def kept(*args: Any, **options: Any) -> Any:
            engine = create_engine(*args, **options)
            opened.callback(engine.dispose)
            return engine

        patch.setattr(sql_mixin, "create_engine", kept)
        yield
