"""Which restricted models stand beside the network, so that a study can say what it adds to scores that are in use?

A comparator is a model by itself, of the network's endpoints and time grid: its log hazard is b_k + w.x with x the
encoded columns of a few named markers (a stage, ECOG, a comorbidity index, age, or all of them together) and with a
baseline of its own. It shares no parameter with the network. It is trained in the same rounds, on the same patients,
under the same bound and noise, so that neither side of a comparison has had another training.

In a patient's gradient a comparator's part counts times its public `weight`: all parts together are within the one
bound (`privacy.mechanism`), so a smaller weight leaves more of it to the network. A comparator has few numbers, each of
which everybody has, and so needs less. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Comparator:
    """Every field is public.

    columns          of the model that it looks at: those of its markers, their missing flags among them.
    missing_columns  which of these say that a marker is not recorded. Who has such a flag set is in no comparison.
    weight           public multiplier of its part of a patient's gradient.
    """

    name: str
    columns: tuple[int, ...]
    missing_columns: tuple[int, ...]
    weight: float

    def faults(self, columns: int) -> tuple[str, ...]:
        """Why a model of so many columns cannot have it, in words."""
        found = []
        if not self.columns or any(not 0 <= column < columns for column in self.columns):
            found.append(f"its comparator {self.name} looks at columns that are not there")
        if len(set(self.columns)) < len(self.columns) or not set(self.missing_columns) <= set(self.columns):
            found.append(f"the columns of its comparator {self.name} are not each named once")
        return tuple(found)


def comparator_faults(comparators: tuple[Comparator, ...], columns: int) -> tuple[str, ...]:
    """Of all of them."""
    names = {each.name for each in comparators}
    twice = () if len(names) == len(comparators) else ("its comparators do not each have a name of their own",)
    return (*twice, *(fault for each in comparators for fault in each.faults(columns)))
