"""What a hospital tells in another place, order or spelling than usual: is it found, told or asked, and never lost?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.small_fhir import (
    LOINC,
    Resource,
    cells,
    concept,
    observation,
    two_patients,
)
from tests.small_fhir import MAPPING as OF_FHIR
from tests.small_fhir import imported as of_resources

from oncofed.errors import InvalidInput

# --- genes of variants

HGNC, NCBI = "http://www.genenames.org/geneId", "http://www.ncbi.nlm.nih.gov/gene"
OF_VARIANTS = OF_FHIR.rpartition("[[marker]]")[0].replace(
    "[time_zero]", '[[source]]\nname = "variants"\npath = "fhir"\npart = "fhir_variants"\n[time_zero]'
)


def asking(gene: str) -> str:
    return f'{OF_VARIANTS}[[marker]]\nname = "ecog"\nsource = "variants"\ncolumn = "{gene}"\n'


NUMBER = {"system": HGNC, "code": "HGNC:11998"}
SYMBOL = NUMBER | {"display": "TP53"}
PRESENT = {"valueCodeableConcept": concept(LOINC, "LA9633-4")}


def of_gene(who: str, gene: Resource | None, *, code: str = "69548-6", **content: object) -> Resource:
    parts = [] if gene is None else [{"code": concept(LOINC, "48018-6")} | gene]
    return observation(who, code=code, ident=f"v-{who}-{code}", component=parts) | content


def with_variant(gene: Resource | None, *, studied: Resource | None = None) -> list[Resource]:
    """`b` has it, and was studied for TP53."""
    region = of_gene("b", studied or {"valueCodeableConcept": {"coding": [SYMBOL]}}, code="53041-0")
    return [*two_patients(), region, of_gene("b", gene, **PRESENT)]


@pytest.mark.parametrize(
    "gene",
    [
        {"valueCodeableConcept": {"coding": [SYMBOL]}},
        {"valueCodeableConcept": {"coding": [NUMBER | {"display": "tumor protein p53"}], "text": "TP53"}},
        {"valueCodeableConcept": {"coding": [{"system": NCBI, "code": "7157"}, SYMBOL]}},
        {"valueCodeableConcept": {"coding": [{"system": NCBI, "code": "1", "display": "KRAS"}, SYMBOL]}},
        {"valueCodeableConcept": {"text": "TP53"}},
        {"valueCodeableConcept": {"coding": [{"system": "urn:symbols", "code": "TP53", "display": "the gene"}]}},
        {"valueString": "TP53"},
    ],
)
def test_a_gene_is_found_by_any_of_its_names(gene: Resource, tmp_path: Path) -> None:
    found = cells(of_resources(tmp_path, with_variant(gene), mapping=asking("TP53")))
    assert found["b"]["ecog"] == 1
    found = cells(of_resources(tmp_path, with_variant(None)[:-1], mapping=asking("TP53")))
    assert found["b"]["ecog"] == 0


@pytest.mark.parametrize(
    "gene",
    [
        {"valueCodeableConcept": {"coding": [NUMBER]}},
        {"valueCodeableConcept": {"coding": [NUMBER | {"display": "tumor protein p53"}]}},
        {"valueCodeableConcept": {"coding": [{"system": "urn:ensembl", "code": "ENSG00000141510"}]}},
        {},
        None,
    ],
)
def test_a_variant_of_a_gene_that_nobody_can_name_is_asked_where_its_patient_would_have_none(
    gene: Resource | None, tmp_path: Path
) -> None:
    text = asking("TP53")
    with pytest.raises(InvalidInput, match=r"names no gene by its symbol, and its patient would have 0 .*\(1 row\)"):
        of_resources(tmp_path, with_variant(gene), mapping=text)
    resources = with_variant(gene)
    resources[-1] |= {"valueCodeableConcept": concept(LOINC, "LA9634-2")}  # it is absent
    assert cells(of_resources(tmp_path, resources, mapping=text))["b"]["ecog"] == 0
    del resources[-2]  # and where no gene was studied nobody has 0
    resources[-1] |= PRESENT
    assert cells(of_resources(tmp_path, resources, mapping=text))["b"]["ecog"] is None


def test_a_mapping_may_name_a_gene_by_its_number(tmp_path: Path) -> None:
    resources = with_variant({"valueCodeableConcept": {"coding": [NUMBER]}})
    found = cells(of_resources(tmp_path, resources, mapping=asking("HGNC:11998")))
    assert found["b"]["ecog"] == 1


def test_every_gene_of_a_region_was_studied(tmp_path: Path) -> None:
    both = {"valueCodeableConcept": {"coding": [SYMBOL, {"system": HGNC, "code": "HGNC:6407", "display": "KRAS"}]}}
    resources = with_variant(None, studied=both)[:-1]
    for gene in ("TP53", "KRAS"):
        assert cells(of_resources(tmp_path, resources, mapping=asking(gene)))["b"]["ecog"] == 0
