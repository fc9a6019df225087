"""Do the values of a trained model come near those of the true hazard, and is a layer of noise found to be one?

The truth is that of the layered consortium, on the same patients: it knows nothing of the model.
"""

from __future__ import annotations

import pytest

from oncofed.simulations.layer_study import both_values, table_of, trained_on
from oncofed.simulations.synthetic.layered import SAYS_NOTHING, generate_layered


@pytest.mark.slow
def test_shares_are_near_the_truth_and_the_layer_that_says_nothing_is_worth_nothing() -> None:
    consortium = generate_layered(patients=6_000, hospitals=2, seed=31)
    run, test, _ = trained_on(consortium, rounds=120, learning_rate=0.01)
    found, true = both_values(consortium, run, test)
    table = table_of(found, true).set_index("layer")
    assert (table["share_z"].abs() < 3).all()
    by_name = {each.name: each for each in found.layers}
    nothing, rna = by_name.pop(SAYS_NOTHING.value), by_name["rna_expression"]
    assert nothing.share.low <= 0 <= nothing.share.high
    assert nothing.share.high < 0.005
    # A model that learned nothing, or whose layers were taken away in asking only, would be noticed:
    assert rna.share.low > 0
    assert found.together.mean > 10 * abs(nothing.share.mean)
    assert abs(found.together.mean - true.together.mean) < 3 * found.together.standard_error
