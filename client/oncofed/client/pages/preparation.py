"""What is computed before the first visitor comes, so that nobody waits for it?

Everything that does not depend on who is looked at: explanations for each endpoint, the order of each group's values,
the pairs of the cohort page, the templates.
"""

from __future__ import annotations

from collections.abc import Callable

from oncofed.client.pages.cohort_pages import kept_interactions, kept_strongest
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.rendering import read_templates
from oncofed.client.pages.usual_values import usual_values
from oncofed.words.names import plain_name


def prepare(hospital: HospitalPrognosis, *, say: Callable[[str], None]) -> None:
    """say: what is being done, a line each time."""
    read_templates()
    patients = f"at least {hospital.at_least(hospital.everybody):,} patients"
    for number, name in enumerate(hospital.endpoint_names):
        say(f"Explaining {patients}: {plain_name(name)} ...")
        prognosis = hospital.endpoint(number)
        kept_strongest(hospital, prognosis, hospital.everybody)
        kept_interactions(hospital, prognosis, hospital.everybody)
    say("Putting the values of each tumour's patients in order ...")
    usual_values(hospital, hospital.everybody)
    for entity in hospital.entities_shown():
        usual_values(hospital, hospital.of_entity(entity))
