"""Does a simulation release what layers are worth through every hospital's guard, as they are without privacy?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.end_to_end.test_measured_simulation import MODES
from tests.end_to_end.test_simulate import small_study

from oncofed.simulations.run import run_study

LAYERS = "value.layers=['rna_expression', 'dna_mutation']"
ASKED = (LAYERS, "held_out.value_share=0.5", "held_out.smallest_shown=1", "held_out.gains_within=30.0")


@pytest.mark.parametrize("mode", ["none", "distributed"])
def test_values_of_layers_are_released_beside_the_exact_ones(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At so high a bound nobody is held, so but for the level of each set the two differ by the noise alone."""
    monkeypatch.setattr("oncofed.survival.layer_values.level_of", lambda *_: 0.0)
    study = small_study(tmp_path, *ASKED, "evaluation.baselines=false", *MODES[mode])
    result = run_study(study, tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["gains_privately_released"]["over_comparators"] is None
    told = metrics["gains_privately_released"]["values_of_layers"]
    name = metrics["test"]["endpoint"]
    found, exact = told["endpoints"][name], result.layers[name]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "what is each layer of data worth?" in page
    if mode == "none":
        assert found["compared"]["patients"] == pytest.approx(exact.compared.patients)
        assert found["held"] == pytest.approx(0, abs=1e-9)
        for layer in exact.values.layers:
            for kind in ("share", "alone", "last"):
                value = getattr(layer, kind)
                assert found["layers"][layer.name][kind]["value"] == pytest.approx(value.mean, abs=1e-6)
                assert found["layers"][layer.name][kind]["standard_error"] == pytest.approx(
                    value.standard_error, rel=0.02
                )
    else:
        assert told["noise_sd"] > 10
        assert all(1.95 < epsilon <= 2.0 for epsilon in result.epsilons.values())
        assert {len(events) for events in result.releases.values()} == {4 + 1}
