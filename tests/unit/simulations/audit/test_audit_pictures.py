"""Do an audit's figures show what the attacks did? Read back from the SVG."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tests.drawn import Line, coloured, drawn

from oncofed.simulations.audit.plots import inversion_picture, roc_picture
from oncofed.simulations.audit.verdict import InvertedPatients, RocCurve

PLACES = np.geomspace(2e-3, 0.5, 9)


def test_a_curve_lies_at_its_rates_on_logarithmic_axes_as_its_key_says() -> None:
    rates = np.concatenate(([0.0], np.geomspace(1e-3, 1, 400)))
    powers = {"model, no noise": 0.3, "model, private": 0.8}
    found = drawn(roc_picture([RocCurve(name, rates, rates**power) for name, power in powers.items()], mu=0.5))
    across, upright = (
        type(scale)(scale.along, tuple(float(np.log10(value)) for value in scale.values))
        for scale in (found.across(), found.upright())
    )
    keys = {name: found.key(name) for name in (*powers, "most that the noise allows")}
    assert len({key.colour for key in keys.values()}) == 3
    expected = {name: PLACES**power for name, power in powers.items()}
    expected["most that the noise allows"] = stats.norm.cdf(stats.norm.ppf(PLACES) + 0.5)
    for name, key in keys.items():
        assert isinstance(key, Line)
        own = [line for line in coloured(found, key.colour).lines if line.dash == key.dash and len(line.points) > 5]
        (curve,) = own
        told = [10 ** upright.value(curve.height_at(across.place(float(np.log10(rate))))) for rate in PLACES]
        assert told == pytest.approx(expected[name].tolist(), rel=0.02), name
    assert bool(keys["model, private"].dash) is False  # type: ignore[union-attr]  # seen to be a line
    (at,) = (line for line in found.lines if line.dash and np.ptp(line.points[:, 0]) == 0)
    assert 10 ** across.value(float(at.points[0, 0])) == pytest.approx(0.01, rel=0.01)


def redness(colour: str) -> float:
    """Above 0 for red, below for blue, 0 for white."""
    red, _, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return (red - blue) / 255


def test_a_strip_shows_each_patients_columns_in_the_same_order_in_every_panel() -> None:
    true = np.array([[0.0, 2.0, -1.0, 0.5], [0.0, -2.0, 1.5, -0.5], [0.0, 1.0, -1.9, 0.1]])
    order = [1, 2, 3, 0]
    """By falling sum of sizes."""
    given = InvertedPatients(true, true[::-1], -true[:, [3, 0, 1, 2]])
    found = drawn(inversion_picture(given))
    lefts = sorted(found.said(title).x for title in ("the patient", "read out, noise off", "read out, noise on"))
    assert [found.said(title).x for title in ("the patient", "read out, noise off", "read out, noise on")] == lefts
    for left, right, group in zip(
        lefts, [*lefts[1:], np.inf], (given.true, given.without_noise, given.with_noise), strict=True
    ):
        for row, values in enumerate(group):
            level = found.said(f"patient {row + 1}").y - 5
            cells = sorted(
                (
                    bar
                    for bar in found.bars
                    if left <= bar.left < right and bar.top < level < bar.bottom and bar.right < 990
                ),
                key=lambda bar: bar.left,
            )
            shades = [redness(bar.colour) for bar in cells]
            assert len(shades) == len(order)
            for shade, value in zip(shades, values[order], strict=True):
                assert np.sign(shade) == np.sign(value)
            sizes = np.minimum(np.abs(values[order]), 2)
            for sign in (-1, 1):
                of_sign = np.sign(values[order]) == sign
                full = {1: (178 - 43) / 255, -1: (172 - 33) / 255}[sign]
                assert np.abs(np.array(shades)[of_sign]) == pytest.approx(sizes[of_sign] / 2 * full, abs=0.01)
