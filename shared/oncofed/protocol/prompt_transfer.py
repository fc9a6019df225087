"""How soon does a Flower process ask again for a part of a message that has not arrived yet?

Flower sends a message's parts after the message and, when it finds one missing, waits 1 s, then 2, then 4: three times
a round (SuperNode, relay, ServerApp) for parts that come within a tenth. The waits are defaults of two functions.
"""

from __future__ import annotations

from flwr.supercore.inflatable import inflatable_utils

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0


def ask_again_soon() -> None:
    """From now on this process waits 0.1 s, doubling to 2 s. How long it waits altogether is unchanged.

    Raises RuntimeError when Flower's functions have no such defaults.
    """
    for function in (inflatable_utils.pull_objects, inflatable_utils.pull_and_inflate_object_from_tree):
        defaults = function.__kwdefaults__
        if defaults is None or not {"initial_backoff", "backoff_cap"} <= defaults.keys():
            raise RuntimeError(
                f"{function.__name__} has other waits: this version of Flower does not suit this oncofed"
            )
        defaults.update(initial_backoff=FIRST_WAIT_SECONDS, backoff_cap=LONGEST_WAIT_SECONDS)
