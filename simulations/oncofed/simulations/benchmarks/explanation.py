"""What does it cost to explain everybody? Relevance of every marker, against one forward pass, and its memory.

Beside it, on the same patients and network: Captum's plain LRP call on the ReLU branch, and integrated gradients.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from captum.attr import LRP, IntegratedGradients

from oncofed.client.guard.one_thread import one_thread
from oncofed.cohort.encoding import columns
from oncofed.explanation.relevance import marker_relevance
from oncofed.explanation.rules import Rule
from oncofed.simulations.benchmarks.made_up import model, patients
from oncofed.simulations.benchmarks.side_by_side import Spread, interleaved, processor_seconds, ratio
from oncofed.simulations.benchmarks.tables import Table, verdict
from oncofed.simulations.synthetic.consortium import PUBLISHED_PATIENTS
from oncofed.simulations.synthetic.schema import consortium_schema
from oncofed.survival.network import PrognosisNetwork, load_parameter_vector, parameter_count

COLUMNS = columns(consortium_schema())
"""350 markers of all modalities, as they are encoded."""
INTEGRATION_STEPS = 50
INTEGRATED_AT_ONCE = 512
"""Everybody at once takes Captum several times as long."""
OURS = "explained"


def explanation_table(*, repetitions: int, hidden_units: tuple[int, ...] = (8, 16)) -> Table:
    """The published cohort on networks of a study."""
    with one_thread():
        found = {units: _seconds(units, repetitions) for units in hidden_units}
    # In a process of its own, whose memory nothing else has touched.
    with multiprocessing.get_context("spawn").Pool(1) as one:
        peak, inputs, outputs = one.apply(_memory)
    ratios = {
        units: {way: ratio(each, seconds["forward"]) for way, each in seconds.items()}
        for units, seconds in found.items()
    }
    return Table(
        title="Explaining every patient",
        columns=(
            "patients",
            "columns",
            "units",
            "forward, ms",
            *(f"{way}, forwards" for way in found[hidden_units[0]] if way != "forward"),
        ),
        rows=tuple(
            (
                f"{PUBLISHED_PATIENTS:,}",
                f"{len(COLUMNS)}",
                f"{units}",
                f"{1000 * Spread.of(found[units]['forward']).median:.1f}",
                *(
                    str(spread) if way == OURS else f"{spread.median:.1f}"
                    for way, spread in of_units.items()
                    if way != "forward"
                ),
            )
            for units, of_units in ratios.items()
        ),
        notes=(
            "In forward passes. Explained: relevance of every marker by the averaged rule, columns folded; by the "
            "epsilon rule likewise. Captum's LRP: one call on the ReLU branch alone, columns not folded. Integrated "
            f"gradients: Captum's, {INTEGRATION_STEPS} steps, measured once.",
            f"Memory: the most that was held at once beyond the patients themselves, {peak / 2**20:.0f} MiB, of which "
            f"the relevance returned is {outputs / 2**20:.0f}; their input matrix has {inputs / 2**20:.0f}.",
            *(
                verdict(f"{units} units, explained over forward", of_units[OURS].median, at_most=6)
                for units, of_units in ratios.items()
            ),
        ),
    )


def _seconds(units: int, repetitions: int) -> dict[str, list[float]]:
    network, x = _network_and_patients(units)
    branch = network.relu_branch
    assert branch is not None

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return network(x)  # type: ignore[no-any-return]  # a Module's call has no type

    works: dict[str, Callable[[], object]] = {
        "forward": forward,
        OURS: lambda: marker_relevance(network, x, COLUMNS, endpoint=0),
        "epsilon rule": lambda: marker_relevance(network, x, COLUMNS, endpoint=0, rule=Rule.EPSILON),
        "Captum's LRP": lambda: LRP(branch).attribute(x.clone().requires_grad_(), target=0),
    }
    found = interleaved(works, repetitions=repetitions)
    return found | {"integrated gradients": [_seconds_of_integrated_gradients(network, x)] * repetitions}


def _seconds_of_integrated_gradients(network: PrognosisNetwork, x: torch.Tensor) -> float:
    """Of one call: it takes so long that the machine's moods average out within it."""
    began = processor_seconds()
    for some in torch.split(x, INTEGRATED_AT_ONCE):
        IntegratedGradients(network).attribute(
            some, target=0, n_steps=INTEGRATION_STEPS, internal_batch_size=INTEGRATED_AT_ONCE
        )
    return processor_seconds() - began


def _network_and_patients(units: int) -> tuple[PrognosisNetwork, torch.Tensor]:
    spec = model(columns=len(COLUMNS), hidden_units=(units,))
    network = PrognosisNetwork(spec, initialisation_seed=None)
    load_parameter_vector(network, np.random.default_rng(1).normal(size=parameter_count(spec)))
    return network, patients(PUBLISHED_PATIENTS, columns=spec.columns, seed=1).x


def _memory() -> tuple[int, int, int]:
    """Peak bytes of one explanation beyond what was there before; bytes of its input; of its output."""
    torch.set_num_threads(1)
    network, x = _network_and_patients(8)
    marker_relevance(network, x[:8], COLUMNS, endpoint=0)  # what is loaded on first use is not the explanation's
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _resident_bytes("VmRSS")
    _, relevance = marker_relevance(network, x, COLUMNS, endpoint=0)
    return _resident_bytes("VmHWM") - before, x.numel() * x.element_size(), relevance.nbytes


def _resident_bytes(field: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024
