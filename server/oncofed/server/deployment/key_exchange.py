"""Which hospitals know each other's masking keys of this plan, so that they can be asked for a masked sum together?

`KeyExchange` asks each hospital for its signed key, keeps it in the study's folder (``masking_keys.json``, public), and
gives all of them to all. A hospital that comes late is told, and the others are told of it. Called before each masked
attempt; once everybody knows everybody it sends nothing.

Promises: a key counts only with its hospital's signature for this plan, and the first one of each hospital for ever: of
a hospital that gives another one (its folder was restored) nothing is asked any more in this plan, because the others
keep its first. Who has not said that it kept the keys of all of an attempt is not of that attempt, since a masked sum
that one hospital cannot answer is charged to all others.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flwr.serverapp import Grid

from oncofed.durable import replace_durably
from oncofed.errors import RecordDamaged, SignatureInvalid
from oncofed.protocol.masking_keys import SignedMaskingKey, verify_masking_key
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.wire_form import Method, masking_key_in, masking_keys_question
from oncofed.server.deployment.asking import ask_all

KEYS = "masking_keys.json"
_ANSWER_SECONDS = 60.0
_AGAIN_SECONDS = 60.0
"""Who has no key to give (nobody approved the plan there) is not asked before each round."""
_NONCE_BYTES = 16

ANOTHER = "gave another masking key than before: was its folder restored? It takes no part in this plan any more"


@dataclass(eq=False)
class KeyExchange:
    """told: of what each hospital said that is not ready, by its name, whenever that has changed."""

    grid: Grid
    plan: StudyPlan
    nodes: Mapping[str, int]
    study: Path
    told: Callable[[Mapping[str, str]], None]
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str, SignedMaskingKey] = field(init=False)
    _knows: dict[str, frozenset[str]] = field(default_factory=dict, init=False)
    """Whose keys a hospital said it has kept, in this run."""
    _asked: dict[tuple[str, int], float] = field(default_factory=dict, init=False)
    """When a hospital was last sent so many keys."""
    _words: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._keys = _kept(self.study / KEYS, self.plan)

    def __call__(self, online: Sequence[str]) -> tuple[str, ...]:
        """As `rounds.Ready` says: those of `online` who know the keys of all of them that are named."""
        able = self._able(online)
        if len(able) < len(online):
            too_few = len(able) < self.plan.smallest_roster
            self._gather([site for site in online if site not in self._keys and (too_few or self._is_due(site, 0))])
            keys = len(self._keys)
            unaware = [site for site in online if site in self._keys and len(self._knows.get(site, ())) < keys]
            self._give([site for site in unaware if too_few or self._is_due(site, keys)])
            able = self._able(online)
        return able

    def _able(self, online: Sequence[str]) -> tuple[str, ...]:
        settled = [site for site in online if site in self._knows]
        # Each knows what there was when it was told, so what one knows is part of what the next one does. Who has not
        # heard of a newcomer yet keeps the newcomer out, and nobody else.
        return tuple(site for site in settled if all(site in self._knows[other] for other in settled))

    def _is_due(self, site: str, keys: int) -> bool:
        before = self._asked.get((site, keys))
        return before is None or self.clock() - before >= _AGAIN_SECONDS

    def _gather(self, sites: Sequence[str]) -> None:
        answers = self._asked_of(sites, ())
        known = {key.public_key for key in self._keys.values()}
        taken = {site for site, key in answers.items() if site not in self._keys and key.public_key in known}
        self._say(dict.fromkeys(taken, "gave another hospital's masking key"))
        fresh = {site: key for site, key in answers.items() if site not in self._keys and site not in taken}
        if fresh:
            self._keys.update(fresh)
            _keep(self.study / KEYS, self._keys)

    def _give(self, sites: Sequence[str]) -> None:
        keys = tuple(self._keys[site] for site in self.plan.roster if site in self._keys)
        for site, key in self._asked_of(sites, keys).items():
            if key.public_key == self._keys[site].public_key:
                self._knows[site] = frozenset(self._keys)
            else:
                self._say({site: ANOTHER})

    def _asked_of(self, sites: Sequence[str], keys: tuple[SignedMaskingKey, ...]) -> dict[str, SignedMaskingKey]:
        """What each of these gave, verified."""
        if not sites:
            return {}
        self._asked.update({(site, len(keys)): self.clock() for site in sites})
        states, silent = ask_all(
            self.grid,
            masking_keys_question(self.plan.hash, keys, nonce=secrets.token_bytes(_NONCE_BYTES)),
            method=Method.MASKING_KEYS,
            nodes={site: self.nodes[site] for site in sites},
            answer_keys=self.plan.answer_keys,
            decode=masking_key_in,
            timeout_seconds=_ANSWER_SECONDS,
        )
        given = {}
        for site, key in states.items():
            if key.site == site and _is_signed(key, self.plan):
                given[site] = key
            else:
                silent[site] = "gave a masking key that is not its own"
        self._say(silent)
        return given

    def _say(self, words: Mapping[str, str]) -> None:
        news = {site: word for site, word in words.items() if self._words.get(site) != word}
        self._words.update(news)
        if news:
            self.told(news)


def _is_signed(key: SignedMaskingKey, plan: StudyPlan) -> bool:
    try:
        verify_masking_key(key, plan=plan)
    except SignatureInvalid:
        return False
    return True


def _kept(path: Path, plan: StudyPlan) -> dict[str, SignedMaskingKey]:
    """Of an earlier run of the study. Raises RecordDamaged."""
    try:
        listed = json.loads(path.read_bytes())
        keys = {
            site: SignedMaskingKey(site, bytes.fromhex(key), bytes.fromhex(signature))
            for site, (key, signature) in listed.items()
        }
        for key in keys.values():
            verify_masking_key(key, plan=plan)
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError, SignatureInvalid):
        raise RecordDamaged(
            f"{path} holds no masking keys of this study. Restore it, or remove it: hospitals give the same keys again."
        ) from None
    return keys


def _keep(path: Path, keys: Mapping[str, SignedMaskingKey]) -> None:
    listed = {site: [key.public_key.hex(), key.signature.hex()] for site, key in sorted(keys.items())}
    replace_durably(path, json.dumps(listed, indent=1).encode() + b"\n")
