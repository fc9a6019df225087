"""Do the pages of a model that was trained with noise say how far to believe them, and only those?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.pages_hospital import hospital, served

from oncofed.client.pages.accounts import Role

WORDS = "Read the first few, and not their order"


@pytest.mark.parametrize("noise", [True, False])
def test_a_model_with_noise_in_it_is_told_as_that(noise: bool, tmp_path: Path) -> None:
    with served(tmp_path, shown=replace(hospital(), noise_in_model=noise)) as here:
        client = here.signed_in(Role.CLINICIAN)
        patient, cohort = client.get(here.opened(client)).text, client.get("/cohort").text
    assert (WORDS in patient) is noise
    assert (WORDS in cohort) is noise
    assert ("most of it may be that noise" in cohort) is noise
