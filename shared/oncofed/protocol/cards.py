"""By what does one hospital know another, without asking the coordinator?

A hospital's *card* is its name in the roster and its public signing keys, as a plan names them. They are kept for
years; what hides sums is made anew for each plan, and signed with one of them (`protocol.masking_keys`). Two hospitals
compare their cards' fingerprints over the telephone, and each writes down the other's in its policy. In mode
`distributed` the coordinator is the party from whom patients' sums are hidden, so it may not be the one who says which
keys are a hospital's: it could invent all others, and take every mask off. Imports no torch.
"""

from __future__ import annotations

import json
from functools import lru_cache

from oncofed.protocol.enrolment import fingerprint
from oncofed.protocol.plan import Member


@lru_cache(maxsize=16_384)  # a thousand simulated hospitals each know the same thousand
def card_of(member: Member) -> str:
    """32 hexadecimal digits: the fingerprint of all that a plan says of the hospital."""
    return "".join(card_in_words(member).split())


def card_in_words(member: Member) -> str:
    """The same in eight groups, for the telephone."""
    keys = (member.node_public_key, member.answer_public_key)
    return fingerprint(json.dumps(["oncofed card 2", member.site, *keys], ensure_ascii=True).encode())
