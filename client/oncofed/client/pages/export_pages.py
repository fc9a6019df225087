"""How does a clinician take one patient's prognosis along, for another program?

As a file that the browser saves: what the page says, as JSON, or as a FHIR R4 RiskAssessment. Each is an entry of the
audit log with the patient's code, on the disk before the file leaves. Both are in English, as CSV files are.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from fastapi import APIRouter, Response

from oncofed.client.pages.desk import Visit
from oncofed.client.pages.patient_pages import Clinician, endpoint_number, opened_row
from oncofed.client.pages.risk_assessment import risk_assessment
from oncofed.client.pages.told_prognosis import ToldPrognosis, told_prognosis
from oncofed.client.pages.viewing_record import PATIENT_EXPORT

router = APIRouter()


@router.get("/patients/{word}/prognosis.json")
def prognosis_json(visit: Clinician, word: str, endpoint: str = "0") -> Response:
    """What the page of this endpoint says."""
    return _file("prognosis", "application/json", asdict(_told(visit, word, endpoint)))


@router.get("/patients/{word}/risk-assessment.json")
def risk_assessment_json(visit: Clinician, word: str, endpoint: str = "0") -> Response:
    """The same for a record system."""
    launches, told = visit.desk.launches, _told(visit, word, endpoint)
    system = None if launches is None else launches.system
    resource = None if launches is None else launches.resource_of(told.patient)
    return _file("risk-assessment", "application/fhir+json", risk_assessment(told, system=system, resource=resource))


def _told(visit: Visit, word: str, endpoint: str) -> ToldPrognosis:
    """Written down before anything is computed of the patient."""
    desk, row, number = visit.desk, opened_row(visit, word), endpoint_number(visit, endpoint)
    desk.record.patient(visit.by, PATIENT_EXPORT, desk.hospital.cohort.patient_ids[row])
    return told_prognosis(desk.hospital, row, endpoint=number, at=desk.now(), by=visit.by)


def _file(name: str, kind: str, content: object) -> Response:
    """Named alike for every patient: a name of a file is seen in more places than its content."""
    return Response(
        json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n",
        media_type=f"{kind}; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.json"'},
    )
