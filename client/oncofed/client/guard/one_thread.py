"""How is torch kept to the thread that calls it?

Its own threads wait for each other by turning in circles: on a machine that has other work, a small product takes ten
times as long with them, and processor time is their sum. The setting belongs to the calling thread, not to the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Within this block, and in this thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
