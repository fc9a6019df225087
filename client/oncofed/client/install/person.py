"""Who gives this command, and how sure is that?

The kernel keeps the user who signed in, whatever the process did since (`/proc/self/loginuid`; sudo and su leave it).
Where it has none (a container, a service), all there is is what the environment says, which anybody may set: that name
is told as claimed. Either way it is the name of an account, not a proof of who sat at it.
"""

from __future__ import annotations

import getpass
import os
import pwd
from pathlib import Path

from oncofed.texts import one_line

_LOGIN = Path("/proc/self/loginuid")
_NOBODY = 0xFFFF_FFFF
_MOST = 64


def person(login: Path = _LOGIN) -> str:
    """Such as "meyer", or "meyer (claimed)"."""
    return _signed_in(login) or f"{one_line(_said())[:_MOST].strip() or 'somebody'} (claimed)"


def _signed_in(login: Path) -> str | None:
    try:
        number = int(login.read_text("ascii"))
        return None if number == _NOBODY else one_line(pwd.getpwuid(number).pw_name)
    except (OSError, ValueError, KeyError):
        return None


def _said() -> str:
    """Also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a number without an account
        return f"user {os.getuid()}"
