"""With which others of a roster does a hospital mask its part, so that it does not take a stream for each of them?

With all of them, or, where the plan says so (`SharedNoise.mask_neighbours`), with the nearest on a ring: the roster is
laid in a circle, and each hospital masks with the w next and the w before, 2 w being the plan's number, rounded up to
an even one. Who is whose neighbour follows from the plan, the roster and its masking keys; each hospital works it out
by itself, and nobody can tell it another.

Promise: **whoever sees everything that is sent, and has the keys of any t hospitals, whichever they are and however
they were chosen, sees exactly as much as with a stream for each pair.** Not with a probability: always. Refused: a
number that is not above t.

Proof. Let R be a roster, C the colluding ones, |C| <= t < 2 w.

1. *R without C is connected.* Let a, b be two of R without C. They part the circle into two arcs. If C holds no w
   consecutive hospitals of one of them, then along it the next hospital outside C is never more than w steps away, and
   so a neighbour: there is a way from a to b. Both arcs have none in common, so to bar both takes 2 w > |C|. (If the
   circle is so small that w steps each way reach everybody, all are neighbours of all.)
2. *The streams of some of a connected graph's hospitals, but not of all, add up to nothing that is known.* Streams are
   independent and uniform to who has neither key (ChaCha20, HKDF, X25519). Take a spanning tree of the graph of step 1.
   What an edge's stream adds to one end it takes from the other. Rooted at any hospital r, the tree gives each other
   hospital an edge of its own, to its parent. Given all other streams, the masks of all hospitals but r are then a
   one-to-one function of these edges' streams (leaves first), and so are uniform and independent. The mask of r is
   minus their sum. So the masks of R without C, less what C knows of them, are uniform among all vectors that add up to
   zero; and so they are with a stream for each pair, whose graph is connected as well.
3. *So nothing else changes.* Streams of another attempt, roster, set of keys or weights are others (`masking`), and
   who answered only some of what it would take for a sum is short of at least one hospital of step 2. What opens, and
   with how much noise, is what tests/privacy/test_masking_states.py checks for both, by enumeration.

What does change is beyond t. With all pairs, one colluding hospital more than promised costs a share of the noise. Here
2 w of them, placed around one hospital, see its part with its own share of the noise alone; and two runs of w of them
cut off those between, whose sum then has these hospitals' shares and no other. The circle is drawn so that nobody is
placed at will: hospitals stand in the order of a SHA-256 over the plan's hash, all masking keys of the roster, and
their names. A coordinator that writes many plans, or asks for many rosters, and a hospital that makes many keys can
draw again, which against t or fewer helps nothing. How likely a draw separates more than t is on the page.

Sources: Harary, PNAS 48, 1962 (the graph; that no graph with fewer edges withstands so many); Bell, Bonawitz, Gascon,
Lepoint and Raykova, CCS 2020 (masks along a graph in place of all pairs; theirs is random, of logarithmic degree, and
withstands corrupt ones that were chosen before it was drawn). Imports no torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from oncofed.errors import PrivacyRefusal
from oncofed.protocol.plan import StudyPlan


@dataclass(frozen=True)
class MaskGraph:
    """Who masks with whom.

    neighbours  with so many others at least; 0 for all.
    withstands  t: how many hospitals may give their keys away and open nothing.

    Raises PrivacyRefusal unless the one is above the other.
    """

    neighbours: int = 0
    withstands: int = 0

    def __post_init__(self) -> None:
        if self.neighbours < 0 or self.withstands < 0 or 0 < self.neighbours <= self.withstands:
            raise PrivacyRefusal(
                f"masks with {self.neighbours} others come off where {self.withstands} hospitals may collude"
            )

    @property
    def steps(self) -> int:
        """The w of the proof; 0 where everybody masks with everybody."""
        return (self.neighbours + 1) // 2

    def reaches_all(self, hospitals: int) -> bool:
        """Whether among so many everybody masks with everybody."""
        return not 0 < 2 * self.steps < hospitals - 1

    def peers(self, own: str, roster: tuple[str, ...], *, seed: bytes) -> tuple[str, ...]:
        """With whom `own` masks among `roster`; `own` is among the peers of each of them.

        seed  32 bytes: what the circle follows from, the same at all of the roster.
        """
        if self.reaches_all(len(roster)):
            return tuple(peer for peer in roster if peer != own)
        circle, places = _circle(roster, seed)
        place = places[own]
        return tuple(circle[(place + step) % len(circle)] for step in range(-self.steps, self.steps + 1) if step)


EVERYBODY = MaskGraph()
"""Each with all others: a stream for each pair."""


def graph_of(plan: StudyPlan) -> MaskGraph:
    """Of a plan that shares its noise. Raises PrivacyRefusal for one whose masks would come off."""
    shares = plan.privacy.shares
    return EVERYBODY if shares is None else MaskGraph(shares.mask_neighbours, shares.colluding)


@lru_cache(maxsize=4)  # of a hospital's rounds the roster is the same in nearly all
def _circle(roster: tuple[str, ...], seed: bytes) -> tuple[tuple[str, ...], dict[str, int]]:
    """The roster in its order around the circle, and each one's place."""
    circle = tuple(sorted(roster, key=lambda site: hashlib.sha256(seed + site.encode()).digest()))
    return circle, {site: place for place, site in enumerate(circle)}
