"""What does it cost to explain everybody? Relevance of every column, against one forward pass, and its memory."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch

from oncofed.client.explanation import column_relevance
from oncofed.simulations.benchmarks.made_up import STUDY_COLUMNS, model, patients
from oncofed.simulations.benchmarks.side_by_side import Spread, interleaved, one_thread, ratio
from oncofed.simulations.benchmarks.tables import Table
from oncofed.simulations.synthetic.consortium import PUBLISHED_PATIENTS
from oncofed.survival.network import PrognosisNetwork


def explanation_table(*, repetitions: int) -> Table:
    """The published cohort on the network of a study."""
    spec = model(columns=STUDY_COLUMNS, hidden_units=(16,))
    network = PrognosisNetwork(spec, initialisation_seed=1)
    x = patients(PUBLISHED_PATIENTS, columns=spec.columns, seed=1).x

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return network(x)  # type: ignore[no-any-return]  # a Module's call has no type

    with one_thread():
        found = interleaved(
            {"forward": forward, "explain": lambda: column_relevance(network, x, endpoint=0)}, repetitions=repetitions
        )
    # In a process of its own, whose memory nothing else has touched.
    with multiprocessing.get_context("spawn").Pool(1) as one:
        peak, inputs = one.apply(_memory)
    return Table(
        title="Explaining every patient",
        columns=(
            "patients",
            "columns",
            "forward, ms",
            "explained, ms",
            "explained / forward",
            "memory, input matrices",
        ),
        rows=(
            (
                f"{PUBLISHED_PATIENTS:,}",
                f"{STUDY_COLUMNS}",
                f"{1000 * Spread.of(found['forward']).median:.1f}",
                f"{1000 * Spread.of(found['explain']).median:.1f}",
                str(ratio(found["explain"], found["forward"])),
                f"{peak / inputs:.1f}",
            ),
        ),
        notes=(
            f"Memory: the most that was held at once beyond the patients themselves, {peak / 2**20:.0f} MiB, in units "
            f"of their input matrix, {inputs / 2**20:.0f} MiB; the relevance returned is one of them.",
        ),
    )


def _memory() -> tuple[int, int]:
    """Peak bytes of one explanation beyond what was there before, and bytes of its input."""
    torch.set_num_threads(1)
    spec = model(columns=STUDY_COLUMNS, hidden_units=(16,))
    network = PrognosisNetwork(spec, initialisation_seed=1)
    x = patients(PUBLISHED_PATIENTS, columns=spec.columns, seed=1).x
    column_relevance(network, x[:8], endpoint=0)  # what is loaded on first use is not the explanation's
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _resident_bytes("VmRSS")
    column_relevance(network, x, endpoint=0)
    return _resident_bytes("VmHWM") - before, x.numel() * x.element_size()


def _resident_bytes(field: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024
