"""Into which category of a marker does a patient fall, by the encoded columns alone?

One column a category after the reference one, 0 for who is not in it. The same whoever else is there.
"""

from __future__ import annotations

import torch
from torch import Tensor


def category_of(columns: tuple[int, ...], x: Tensor) -> Tensor:
    """(patients,): place in `columns` plus 1; 0 for the reference category, for unknown ones, and without columns."""
    if not columns:
        return torch.zeros(len(x), dtype=torch.int64)
    of_category = x[:, list(columns)] != 0
    first = torch.as_tensor(of_category.numpy().argmax(axis=1))  # numpy's promise, should there be several
    return torch.where(of_category.any(dim=1), first + 1, 0)
