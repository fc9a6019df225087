"""How is a network computed so that what one patient gets does not depend on who else is in the batch, to the last bit?

A clipped sum hides a patient only if the parts of all others stay as they are when this one leaves. A matrix product
does not see to that: libraries add up a row's products in an order that depends on the row's place and on how many rows
there are. The last bit then differs, and a server that chooses the weights can make a last bit matter: at the kink of a
ReLU, or where large numbers cancel, 1e-17 decides over a whole clip norm, for many patients at once.

So here each number of a patient comes from that patient's numbers and public ones by operations that have one result:

- *Products of matrices are exact* (`_ExactLinear`). Each row of inputs is cut to the multiples of its own power of two
  2^-b p, where p <= its largest entry < 2 p; each row of weights is split into two pieces of 15 bits, as multiples of
  powers of two of its own. Then each product of entries is a multiple of one number q, at most 2^(b + 16) q in size.
  For c columns b is such that b + 16 + log2(c) <= 53, so each partial sum, in any order, with or without fused
  multiplications, is a multiple of q of at most 2^53 q, which is a float64. Nothing is ever rounded, and the sum is the
  same in any order, for any library and any number of threads (Ozaki, Ogita, Oishi, Rump, Numer. Algorithms 59, 2012).
- *All else is done entry by entry* by additions, multiplications, divisions, roots and comparisons, which IEEE 754
  rounds in one way. Sums along a row are additions of columns in a fixed order (`row_sums`); exp is such operations too
  (`exponential`), since a library's may round differently in the last entries of a batch.

What is cut off is below 2^-b of a row's largest input (b = 28 for 257 to 512 columns, 27 for up to 1024, and so on) and
below 2^-29 of a row's largest weight. Numbers of 2^500 or more, and those that are not finite, do not fit; such a row
is taken as zeros and said to be so. Numbers below 2^-500 are taken as 0 where they are multiplied by weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from oncofed.survival.network import BaselineHazard, EntityShapes, PrognosisNetwork

_FLOAT64_BITS = 53
_PIECE_BITS = 14
"""Of a piece of weights, beside its sign and the bit before the point."""
_TOO_LARGE = 2.0**500
_TOO_SMALL = 2.0**-500
_EXPONENT_OF_FLOAT64 = 0x7FF0_0000_0000_0000


@dataclass(frozen=True, eq=False)
class GridRows:
    """Rows to be multiplied exactly. `on_grid` alone makes them, so that what they say of themselves is true.

    values  (rows, columns), each row on its own grid; zeros where it does not fit.
    fits    (rows,): whether all its numbers are finite and below 2^500.
    norms   (rows,), Euclidean, right to some units in the last place whatever the size.
    """

    values: Tensor
    fits: Tensor
    norms: Tensor

    def rows(self, index: Tensor | slice) -> GridRows:
        """Some of them."""
        return GridRows(self.values[index], self.fits[index], self.norms[index])

    @staticmethod
    def joined(several: Sequence[GridRows], values: Tensor) -> GridRows:
        """Those of several tables, one table after the other, each row as it is. values: theirs, joined."""
        return GridRows(values, *(torch.cat([getattr(each, part) for each in several]) for part in ("fits", "norms")))


def on_grid(rows: Tensor, *, keep: bool = False) -> GridRows:
    """(rows, columns), float64, as the grid has them; what is on it already stays as it is.

    keep  where all of them are on it already, they are not copied: nobody may change them afterwards.
    """
    fits, power, fitting = _fitting(rows)
    values = _multiples(fitting, power, bits=_input_bits(rows.shape[1]))
    return GridRows(rows if keep and torch.equal(values, rows) else values, fits, _norms(values, power))


def _multiples(rows: Tensor, power: Tensor, *, bits: int) -> Tensor:
    step = (power * 2.0**-bits)[:, None]
    return (rows / step).trunc_().mul_(step)


def norms_of(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(rows,), (rows,): the Euclidean norm of each row, and whether it fits; 0 where it does not."""
    fits, power, rows = _fitting(rows)
    return _norms(rows, power), fits


def _fitting(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which rows fit, the power of two at or below each one's largest entry, and the rows with zeros for the others."""
    largest = rows.abs().amax(dim=1)
    fits = largest < _TOO_LARGE  # NaN is not
    if not bool(fits.all()):
        largest = largest.masked_fill(~fits, 0.0)
        rows = rows.masked_fill(~fits[:, None], 0.0)
    return fits, _power_of_two(largest), rows


def _power_of_two(largest: Tensor) -> Tensor:
    """At most `largest`, and more than half of it; but 2^-500 at least."""
    exponent = largest.view(torch.int64) & _EXPONENT_OF_FLOAT64
    return exponent.view(torch.float64).clamp(min=_TOO_SMALL)


def _norms(rows: Tensor, power: Tensor) -> Tensor:
    """The square of no entry over `power` is too large, and those that are too small do not count."""
    return root(row_sums((rows / power[:, None]).square_())) * power


def root(numbers: Tensor) -> Tensor:
    """Numpy's square root is the processor's, which is rounded rightly; torch may ask a library."""
    return torch.as_tensor(np.sqrt(numbers.numpy()))


def _input_bits(columns: int) -> int:
    return _FLOAT64_BITS - 2 - _PIECE_BITS - math.ceil(math.log2(columns))


def row_sums(rows: Tensor) -> Tensor:
    """(rows, columns) -> (rows,): columns are added in an order that is the same for every row and batch."""
    while rows.shape[1] > 1:
        half = rows.shape[1] // 2
        halved = rows[:, :half] + rows[:, half : 2 * half]
        if rows.shape[1] % 2:
            halved[:, 0] += rows[:, -1]
        rows = halved
    return rows[:, 0]


def exact_product(fed: GridRows, weight: Tensor) -> Tensor:
    """(rows, outputs): the rows times the transposed weight (outputs, columns), which loses what the module says."""
    power = _power_of_two(weight.abs().amax(dim=1))[:, None]
    scaled = weight / power
    first = (scaled * 2.0**_PIECE_BITS).trunc_().mul_(2.0**-_PIECE_BITS)
    second = ((scaled - first) * 2.0 ** (2 * _PIECE_BITS + 1)).trunc_().mul_(2.0**-_PIECE_BITS)
    # Weights on the left: for the few outputs of our layers twice as fast as rows on the left, and the same numbers.
    sums = torch.cat([first, second]) @ fed.values.T
    outputs = len(weight)
    together = (sums[:outputs] + sums[outputs:] * 2.0 ** -(_PIECE_BITS + 1)) * power
    return together.add_(0.0).T.contiguous()  # the sign of a zero does depend on the order; here there is one zero


def exact_inner_products(one: Tensor, other: Tensor) -> Tensor:
    """(rows, terms, some), (rows, terms, others) -> (rows, some, others): summed over the terms, each row by itself.

    For two sides that are both a row's own. The numbers that are summed with one another, along the terms, are cut to
    multiples of a power of two of their own as in the module's docstring, here of 2^-b p with 2 (b + 1) + log2(terms)
    <= 53, without pieces (b = 23 for 9 to 32 terms). Where they do not fit they are taken as zeros.
    """
    bits = (_FLOAT64_BITS - math.ceil(math.log2(one.shape[1]))) // 2 - 1
    cut = []
    for numbers in (one, other):
        _, power, fitting = _fitting(numbers)
        cut.append(_multiples(fitting, power, bits=bits))
    return torch.bmm(cut[0].mT, cut[1]).add_(0.0)  # one zero, as in `exact_product`


class _ExactLinear(torch.autograd.Function):
    """A bias-free linear layer. Gradients go on to the rows; the weight's is not formed (`mechanism` does it)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, fed: GridRows) -> Tensor:
        ctx.save_for_backward(weight)
        return exact_product(fed, weight)

    @staticmethod
    def backward(ctx: Any, *at_output: Tensor) -> tuple[Tensor | None, None, None]:
        (weight,) = ctx.saved_tensors
        if not ctx.needs_input_grad[0]:
            return None, None, None
        return exact_product(on_grid(at_output[0]), weight.T), None, None


class _Spread(torch.autograd.Function):
    """(patients, endpoints) -> (patients, endpoints, intervals), the same in each interval."""

    @staticmethod
    def forward(ctx: Any, log_hazard_ratio: Tensor, intervals: int) -> Tensor:
        return log_hazard_ratio[:, :, None].expand(-1, -1, intervals)

    @staticmethod
    def backward(ctx: Any, *at_output: Tensor) -> tuple[Tensor, None]:
        patients, endpoints, _ = at_output[0].shape
        return row_sums(at_output[0].flatten(0, 1)).reshape(patients, endpoints), None


class _OverTime(torch.autograd.Function):
    """`EntityShapes.over_time`, whose gradients are added up in one order."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, shapes: EntityShapes) -> Tensor:
        ctx.shapes = shapes
        return shapes.over_time(u)

    @staticmethod
    def backward(ctx: Any, *at_output: Tensor) -> tuple[Tensor, None]:
        return at_functions(ctx.shapes, at_output[0]), None


def at_functions(shapes: EntityShapes, over_time: Tensor) -> Tensor:
    """The transpose of `EntityShapes.over_time`: (patients, endpoints, intervals) -> (patients, endpoints * functions).

    Each patient's intervals are added up in one order.
    """
    patients, endpoints, intervals = over_time.shape
    weighted = over_time[:, :, None, :] * shapes.functions
    return row_sums(weighted.reshape(-1, intervals)).view(patients, endpoints * len(shapes.functions))


class _RowSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, terms: Tensor) -> Tensor:
        ctx.shape = terms.shape
        return row_sums(terms.flatten(1))

    @staticmethod
    def backward(ctx: Any, *at_output: Tensor) -> Tensor:
        return at_output[0].reshape(-1, *(1 for _ in ctx.shape[1:])).expand(ctx.shape)


def sum_of_each(terms: Tensor) -> Tensor:
    """(patients, ...) -> (patients,): `row_sums` that can be differentiated."""
    summed: Tensor = _RowSums.apply(terms)  # type: ignore[no-untyped-call]  # torch's apply has no types
    return summed


class _Exponential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, numbers: Tensor) -> Tensor:
        found = _exp(numbers)
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, *at_output: Tensor) -> Tensor:
        found: Tensor = ctx.saved_tensors[0]
        return at_output[0] * found


def exponential(numbers: Tensor) -> Tensor:
    """exp to 2 units in the last place, up to exp(700); can be differentiated."""
    found: Tensor = _Exponential.apply(numbers)  # type: ignore[no-untyped-call]  # torch's apply has no types
    return found


def exponentials(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """`exponential` of numpy's numbers."""
    return np.asarray(_exp(_tensor_of(numbers)).numpy())


def totals(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., terms) -> (...): `row_sums` of numpy's numbers; 0 of no terms."""
    if not numbers.shape[-1]:
        return np.zeros(numbers.shape[:-1])
    rows = _tensor_of(numbers).reshape(-1, numbers.shape[-1])
    return np.asarray(row_sums(rows).numpy().reshape(numbers.shape[:-1]))


def _tensor_of(numbers: NDArray[np.float64]) -> Tensor:
    """What nobody may write to, such as the weights of a question, is copied: torch warns of it."""
    whole = np.ascontiguousarray(numbers, dtype=np.float64)
    return torch.as_tensor(whole if whole.flags.writeable else whole.copy())


_LOG_2_HIGH, _LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""log 2 in two parts; the first has so few bits that its product with a whole number below 2^20 is exact."""
_TAYLOR = tuple(1 / math.factorial(degree) for degree in range(13, -1, -1))


def _exp(numbers: Tensor) -> Tensor:
    """exp(x) = 2^k exp(r) with |r| <= log(2) / 2, where the 14th term of exp is below 1e-17."""
    x = numbers.clamp(-760.0, 700.0)
    k = (x * (1 / math.log(2))).round_()
    r = (x - k * _LOG_2_HIGH).sub_(k * _LOG_2_LOW)
    power = torch.full_like(r, _TAYLOR[0])
    for coefficient in _TAYLOR[1:]:
        power.mul_(r).add_(coefficient)
    whole = k.to(torch.int64)
    half = whole >> 1  # in two steps, so that neither factor is too small for a float64
    for exponent in (half, whole - half):
        power.mul_(((exponent + 1023) << 52).view(torch.float64))
    return power


Note = Callable[[Tensor, GridRows, Tensor], None]
"""Is told a layer's parameter, what was fed to it (rows), and what came out."""


@contextmanager
def one_by_one(network: PrognosisNetwork, fed: GridRows, *, note: Note | None = None) -> Iterator[None]:
    """Within, the network computes each row by itself, as the module says, and gradients back to its layers' outputs.

    fed  `on_grid` of the inputs that will come, by which they are known.

    Every layer with parameters must be a bias-free linear one, the baseline hazard or the time shapes; anything else is
    our mistake.
    """
    layers = [module for module in network.modules() if next(module.parameters(recurse=False), None) is not None]
    own = (BaselineHazard, EntityShapes)
    assert all(isinstance(layer, own) or getattr(layer, "bias", 0) is None for layer in layers)
    told = note or (lambda *_: None)
    for layer in layers:
        if isinstance(layer, BaselineHazard):
            layer.__dict__["forward"] = _baseline(layer, told)
        elif isinstance(layer, EntityShapes):
            layer.__dict__["forward"] = _time_shapes(layer, told)
        else:
            assert isinstance(layer, nn.Linear)
            layer.__dict__["forward"] = _linear(layer, fed, told)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["forward"]


def _linear(layer: nn.Linear, known: GridRows, note: Note) -> Callable[[Tensor], Tensor]:
    def forward(rows: Tensor) -> Tensor:
        is_known = rows.data_ptr() == known.values.data_ptr() and rows.shape == known.values.shape
        fed = known if is_known else on_grid(rows.detach())
        output: Tensor = _ExactLinear.apply(rows, layer.weight, fed)  # type: ignore[no-untyped-call]  # as above
        note(layer.weight, fed, output)
        return output

    return forward


def _baseline(layer: BaselineHazard, note: Note) -> Callable[[Tensor], Tensor]:
    """The baseline is a linear layer with its public weight for an input."""

    def forward(log_hazard_ratio: Tensor) -> Tensor:
        log_hazard = layer.log_hazard()
        spread: Tensor = _Spread.apply(log_hazard_ratio, log_hazard.shape[1])  # type: ignore[no-untyped-call]  # as above
        output = log_hazard + spread
        weight = torch.full((len(log_hazard_ratio), 1), layer.weight, dtype=torch.float64)
        note(layer.correction, on_grid(weight), output)
        return output

    return forward


def _time_shapes(layer: EntityShapes, note: Note) -> Callable[[Tensor], Tensor]:
    """A linear layer, too: its input is the patient's tumour entity."""

    def forward(entity: Tensor) -> Tensor:
        fed = on_grid(entity)
        u: Tensor = _ExactLinear.apply(fed.values, layer.coefficients, fed)  # type: ignore[no-untyped-call]  # as above
        note(layer.coefficients, fed, u)
        shaped: Tensor = _OverTime.apply(u, layer)  # type: ignore[no-untyped-call]  # as above
        return shaped

    return forward
