"""One large hospital of synthetic patients with all 350 markers, and a model with effects of a usual size."""

from __future__ import annotations

import numpy as np

from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.cohort.encoding import columns
from oncofed.cohort.validation import validate
from oncofed.protocol.plan import ModelSpec
from oncofed.simulations.synthetic.consortium import generate
from oncofed.survival.network import network_with, parameter_count


def large_hospital(patients: int) -> HospitalPrognosis:
    """Nothing of it is computed yet."""
    made = generate(patients=patients, hospitals=1)
    schema = made.schema
    endpoints = tuple(endpoint.name for endpoint in schema.endpoints)
    spec = ModelSpec(len(columns(schema)), endpoints, schema.grid, schema.baseline_hazard, (16,))
    weights = np.random.default_rng(1).normal(scale=0.05, size=parameter_count(spec))
    cohort = validate(made.table, schema, where="synthetic")
    return HospitalPrognosis("large", "synthetic", "cd" * 32, network_with(spec, weights), cohort, example=True)
