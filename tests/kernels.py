"""A matrix product whose last bits depend on who else is there, as a library's do on some processors.

Which order a library adds up in follows from the number of rows and from a row's place among them, and on one machine
in ten it does not show: tests of what such bits could give away bring their own product.
"""

from __future__ import annotations

import torch
from torch import Tensor


def product_by_place(values: Tensor, weight: Tensor) -> Tensor:
    """(rows, units) of (rows, columns) and (units, columns): each row added up forwards or backwards."""
    forwards, backwards = (
        torch.stack([torch.cumsum(some * unit, dim=1)[:, -1] for unit in units], dim=1)
        for some, units in ((values, weight), (values.flip(1), weight.flip(1)))
    )
    rows = len(values)
    tail = torch.arange(rows) >= rows - rows // 8  # as where the last rows fill no block
    turned = tail if rows % 2 else ~tail
    return torch.where(turned[:, None], backwards, forwards)
