"""How does one command at a time change how a node is set up, whoever else gives one at that moment?

`init`, `request`, `accept` and `verify` look what is there, and make what is missing: two at once would each make a
half of what must fit together. The lock is a file of its own in the node's folder, for its owner alone, so that no
other user of the machine can hold it; it goes with the command, and a kill frees it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from oncofed.client.install.folder import NodeFolder
from oncofed.turns import in_turn


@contextmanager
def set_up_alone(folder: NodeFolder) -> Iterator[None]:
    """While inside, no other command sets this node up; others wait. Raises OSError where the folder is not there."""
    lock = folder.root / ".setting-up.lock"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with in_turn(lock, opened=lambda: os.open(lock, flags, 0o600)):  # whoever had it before takes it away
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
