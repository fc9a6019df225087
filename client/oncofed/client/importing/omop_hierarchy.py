"""Which concepts of an OMOP model stand below those that a mapping names?

By the model's table `concept_ancestor`, where a source says `descendants = true`. A list (`keep`, `codes`) means every
concept below any of its own, whatever other lists name. A translation (`words`) means for each concept the nearest that
it names itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

Concept = str


@dataclass(frozen=True)
class Hierarchy:
    """columns: in which concepts stand for those below them. levels: by a concept, those below it and how far."""

    columns: frozenset[str] = frozenset()
    levels: Mapping[Concept, Mapping[Concept, int]] = field(default_factory=dict)

    def _stands_for_below(self, column: str | None) -> bool:
        """A mapping may write the model's column in capitals, as some databases do."""
        return column is not None and column.casefold() in self.columns

    def with_below(self, column: str | None, listed: Iterable[str]) -> tuple[str, ...]:
        """A list of words for that column, with the concepts below."""
        if not self._stands_for_below(column):
            return tuple(listed)
        return tuple(dict.fromkeys(each for word in listed for each in (word, *self.levels.get(word, ()))))

    def translated(self, column: str | None, words: Mapping[str, str]) -> Mapping[str, str]:
        """The words for that column, with those of the nearest concept for each below."""
        if not self._stands_for_below(column):
            return words
        nearest = self._nearest(words)
        return {**{concept: words[near[0]] for concept, near in nearest.items()}, **words}

    def in_doubt(self, column: str | None, words: Mapping[str, str]) -> int:
        """How many concepts are as near to two words that mean different things."""
        if not self._stands_for_below(column):
            return 0
        nearest = self._nearest(words)
        return sum(len({words[each] for each in near}) > 1 for concept, near in nearest.items() if concept not in words)

    def _nearest(self, words: Collection[str]) -> dict[Concept, list[Concept]]:
        found: dict[Concept, tuple[int, list[Concept]]] = {}
        for word in words:
            for concept, level in self.levels.get(word, {}).items():
                far, near = found.get(concept, (level, []))
                if level <= far:
                    found[concept] = (level, [*(near if level == far else []), word])
        return {concept: near for concept, (_, near) in found.items()}
