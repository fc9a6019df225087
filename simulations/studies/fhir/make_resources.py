"""Where do the FHIR resources of docs/import-fhir.md come from? They are invented here, with the truth beside them.

    python simulations/studies/fhir/make_resources.py runs/fhir

The same patients three times: as a folder of bundles, as a bulk export of NDJSON files, and (what no FHIR server has) a
table of body composition, as segmentation tools write it. In the resources lies what makes them hard: two diagnoses,
deaths that only an observation tells and one without a day, birth dates of which only the year is told, units of one
analyte that differ, values below the limit of detection, values of long before, results that were entered in error,
older versions, copies, medications by reference, and references of three kinds. `truth` is drawn first, and the
resources are written from it.

Profiles: mCODE, and the oncology module of the German core data set (oBDS).
"""

from __future__ import annotations

import gzip
import json
import sys
import uuid
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SEED = 23
PATIENTS = 420
HOSPITALS = ("Aachen", "Jena", "Ulm")
MORPHOLOGIES = {"adenocarcinoma": "8140/3", "squamous": "8070/3", "small_cell": "8041/3"}
STAGES = ("IA", "IIB", "IIIA", "IVB")
ECOG = ("LA9622-7", "LA9623-5", "LA9624-3", "LA9625-0", "LA9626-8")
GENES = ("TP53", "KRAS", "STK11")
LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
ICD_10 = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
OPS, ATC = "http://fhir.de/CodeSystem/bfarm/ops", "http://fhir.de/CodeSystem/bfarm/atc"
ASSERTED = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
MORPHOLOGY = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-histology-morphology-behavior"
SERVER = "https://fhir.clinic.example/r4/"
PER_BUNDLE = 20

Resource = dict[str, Any]


@dataclass(frozen=True)
class Hospital:
    """truth: one row a patient, NaN where not measured. undated: who died on a day that nobody told.

    files  contents by path: of `bundles/`, of `ndjson/`, and `body_composition.csv`.
    """

    truth: pd.DataFrame
    undated: str
    files: dict[str, bytes]


@dataclass
class Patient:
    """The resources of one, and the latest day on which any of them shows that somebody saw the patient."""

    number: int
    rng: np.random.Generator
    resources: list[Resource] = field(default_factory=list)
    seen: date = date.min

    @property
    def id(self) -> str:
        return f"pat-{self.number:04d}"

    def add(self, kind: str, day: date | None, *, counts: bool = True, **content: object) -> Resource:
        """counts: whether it happened, and on that day."""
        name = f"{kind.lower()}-{self.number}-{len(self.resources)}"
        resource: Resource = {"resourceType": kind, "id": name, "subject": {"reference": f"Patient/{self.id}"}}
        resource |= content
        self.resources.append(resource)
        if day is not None and counts:
            self.seen = max(self.seen, day)
        return resource

    def observe(self, loinc: str, day: date, *, local: str = "", status: str = "final", **value: object) -> Resource:
        codings = [{"system": LOINC, "code": loinc}]
        if local:
            codings.insert(0, {"system": "https://clinic.example/laboratory", "code": local})
        moment = f"{day}T{8 + self.number % 10:02d}:30:00+01:00"
        happened = status == "final"
        return self.add(
            "Observation",
            day,
            counts=happened,
            status=status,
            code={"coding": codings},
            effectiveDateTime=moment,
            **value,
        )

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)


def quantity(value: float, unit: str, *, comparator: str = "") -> Resource:
    told: Resource = {"value": value, "unit": unit, "system": UCUM, "code": unit}
    return {"valueQuantity": told | ({"comparator": comparator} if comparator else {})}


def concept(system: str, code: str, display: str = "") -> Resource:
    return {"coding": [{"system": system, "code": code} | ({"display": display} if display else {})]}


def hospital() -> Hospital:
    rng = np.random.default_rng(SEED)
    truth, patients, bodies = [], [], []
    undated = ""
    for number in range(1, PATIENTS + 1):
        patient = Patient(number, rng)
        zero = date(2018, 1, 8) + timedelta(days=int(rng.integers(0, 1500)))
        row: dict[str, object] = {"patient_id": patient.id, "hospital": str(rng.choice(HOSPITALS))}
        log_hazard = _diagnosed(patient, zero, row) + _measured(patient, zero, row) + _sequenced(patient, zero, row)
        log_hazard += _treated(patient, zero, row)
        bodies += _imaged(patient, zero, row)
        log_hazard += -0.02 * (float(str(row["muscle_area_cm2"])) - 130) if row["muscle_area_cm2"] else 0.0
        died = _ended(patient, zero, log_hazard, row, undated=not undated and number > 100)
        if died == "undated":
            undated = patient.id
        else:
            truth.append(row)
        patients.append(patient)
    frame = pd.DataFrame(truth)
    numeric = [column for column in frame.columns if column not in ("patient_id", "hospital", "entity")]
    frame[numeric] = frame[numeric].astype(float)
    files = _bundles(patients) | _bulk_export(patients)
    lines = ["PatientID;StudyDate;muscle_area_cm2;visceral_fat_volume_ml;subcutaneous_fat_volume_ml", *bodies]
    files["body_composition.csv"] = ("\n".join(lines) + "\n").encode()
    return Hospital(frame, undated, files)


# --- one patient


def _diagnosed(patient: Patient, zero: date, row: dict[str, object]) -> float:
    rng = patient.rng
    entity = str(rng.choice(list(MORPHOLOGIES), p=[0.55, 0.3, 0.15]))
    code = {
        "coding": [{"system": SNOMED, "code": "254637007"}, {"system": ICD_10, "code": f"C34.{rng.integers(0, 4)}"}]
    }
    morphology = {
        "url": MORPHOLOGY,
        "valueCodeableConcept": concept("urn:oid:2.16.840.1.113883.6.43.1", MORPHOLOGIES[entity]),
    }
    told = int(rng.integers(0, 3))
    condition = patient.add("Condition", zero, code=code, extension=[morphology])
    if told == 0:
        condition["extension"].append({"url": ASSERTED, "valueDateTime": str(zero)})
        condition["onsetDateTime"] = str(zero - timedelta(days=30))
    elif told == 1:
        condition["onsetDateTime"] = str(zero)
    condition["recordedDate"] = str(zero if told == 2 else zero + timedelta(days=9))
    if patient.chance(0.12):  # another tumour, years before
        day = zero - timedelta(days=int(rng.integers(400, 2000)))
        patient.add("Condition", day, code=concept(ICD_10, "C50.9"), onsetDateTime=str(day))
    if patient.chance(0.08):  # a lung cancer again
        day = zero + timedelta(days=int(rng.integers(30, 90)))
        patient.add("Condition", day, code=concept(ICD_10, "C34.9"), onsetDateTime=str(day), extension=[morphology])
    if patient.chance(0.05):  # which was none
        day = zero - timedelta(days=200)
        refuted = concept("http://terminology.hl7.org/CodeSystem/condition-ver-status", "refuted")
        patient.add(
            "Condition",
            day,
            counts=False,
            code=concept(ICD_10, "C34.1"),
            onsetDateTime=str(day),
            verificationStatus=refuted,
        )
    age = int(rng.integers(38, 88))
    birth = zero - timedelta(days=int(age * 365.25 + rng.integers(0, 365)))
    only_year = patient.chance(0.2)
    middle = date(birth.year, 7, 1)
    row["age_years"] = (zero - (middle if only_year else birth)).days / 365.25
    row["female"] = float(patient.chance(0.45))
    row["entity"] = entity
    patient.add("Patient", None, birthDate=str(birth.year) if only_year else str(birth))
    return 0.02 * (age - 62) + {"adenocarcinoma": 0.0, "squamous": 0.2, "small_cell": 0.8}[entity]


def _measured(patient: Patient, zero: date, row: dict[str, object]) -> float:
    rng = patient.rng
    stage, ecog = int(rng.integers(1, 5)), int(rng.choice([0, 1, 2, 3], p=[0.4, 0.35, 0.2, 0.05]))
    row["stage"], row["ecog"] = None, None
    if patient.chance(0.93):
        row["stage"] = float(stage)
        value = concept(
            "https://www.medizininformatik-initiative.de/fhir/ext/modul-onko/CodeSystem/uicc", STAGES[stage - 1]
        )
        patient.observe("21908-9", zero + timedelta(days=3), valueCodeableConcept=value)
    if patient.chance(0.9):
        row["ecog"] = float(ecog)
        answer: Resource = {"valueInteger": ecog}
        if patient.chance(0.5):
            answer = {"valueCodeableConcept": concept(LOINC, ECOG[ecog])}
        patient.observe("89247-1", zero - timedelta(days=2), **answer)
    crp = round(float(np.exp(rng.normal(2.2, 1.2))), 1)
    albumin, creatinine = round(float(rng.normal(38, 5)), 1), round(float(rng.normal(85, 20)), 0)
    row["log10_crp"] = _crp(patient, zero, crp) if patient.chance(0.92) else None
    row["albumin_g_per_l"] = None
    if patient.chance(0.92):
        row["albumin_g_per_l"] = albumin
        told = quantity(round(albumin / 10, 2), "g/dL") if patient.chance(0.4) else quantity(albumin, "g/L")
        patient.observe("1751-7", zero - timedelta(days=5), local="ALB", **told)
        patient.observe("1751-7", zero - timedelta(days=700), local="ALB", **quantity(44.4, "g/L"))  # long before
    row["creatinine_umol_per_l"] = None
    if patient.chance(0.9):
        milligrams = round(creatinine / 88.4017, 2)
        in_mg = patient.chance(0.5)
        row["creatinine_umol_per_l"] = milligrams * 1e4 / 113.12 if in_mg else creatinine
        told = quantity(milligrams, "mg/dL") if in_mg else quantity(creatinine, "umol/L")
        patient.observe("2160-0" if in_mg else "14682-9", zero - timedelta(days=1), **told)
    return float(0.5 * (stage - 2.5) + 0.35 * ecog + 0.25 * (np.log(crp) - 2.2))


def _crp(patient: Patient, zero: date, crp: float) -> float:
    """The last of two in time; a later one was entered in error, and one is told as below the limit."""
    patient.observe("1988-5", zero - timedelta(days=20), **quantity(88.8, "mg/L"))
    day = zero - timedelta(days=4)
    if patient.chance(0.15):
        wrong = patient.observe("1988-5", zero - timedelta(days=1), status="entered-in-error", **quantity(777, "mg/L"))
        if patient.chance(0.5):  # as the first version did not know yet
            old = {**wrong, "status": "final", "meta": {"versionId": "1"}}
            patient.resources.append(old)
            wrong["meta"] = {"versionId": "2"}
    if patient.chance(0.1):
        patient.observe("1988-5", day, **quantity(0.5, "mg/L", comparator="<"))
        return float(np.log10(0.5))
    if patient.chance(0.3):
        patient.observe("1988-5", day, **quantity(round(crp / 10, 3), "mg/dL"))
    else:
        found = patient.observe("1988-5", day, **quantity(crp, "mg/L"))
        if patient.chance(0.2):
            patient.resources.append(dict(found))  # a copy, such as a second bundle holds
    return float(np.log10(crp))


def _sequenced(patient: Patient, zero: date, row: dict[str, object]) -> float:
    """One of two panels lacks STK11; a third of the patients was never sequenced."""
    row |= dict.fromkeys(f"{gene}_mut" for gene in GENES)
    if patient.chance(0.33):
        return 0.0
    panel = GENES if patient.chance(0.5) else GENES[:2]
    day, effect = zero + timedelta(days=12), 0.0
    studied = [_gene(gene) for gene in panel]
    patient.observe("53041-0", day, component=studied)
    for gene in panel:
        row[f"{gene}_mut"] = 0.0
        if patient.chance({"TP53": 0.5, "KRAS": 0.3, "STK11": 0.2}[gene]):
            row[f"{gene}_mut"], effect = 1.0, effect + 0.3
            present = concept(LOINC, "LA9633-4", "Present")
            patient.observe("69548-6", day, component=[_gene(gene)], valueCodeableConcept=present)
    return effect


def _gene(name: str) -> Resource:
    gene = concept("http://www.genenames.org/geneId", f"HGNC:{len(name)}{ord(name[0])}", name)
    return {"code": concept(LOINC, "48018-6"), "valueCodeableConcept": gene}


def _treated(patient: Patient, zero: date, row: dict[str, object]) -> float:
    row["operated"] = float(patient.chance(0.4))
    day = zero + timedelta(days=20)
    if row["operated"]:
        patient.add("Procedure", day, status="completed", code=concept(OPS, "5-324.71"), performedDateTime=str(day))
    elif patient.chance(0.3):  # planned, and not done
        code = concept(OPS, "5-324.71")
        patient.add("Procedure", day, counts=False, status="not-done", code=code, performedDateTime=str(day))
    row["immunotherapy"] = float(patient.chance(0.35))
    if row["immunotherapy"]:
        begin = zero + timedelta(days=35)
        drug: Resource = {"medicationCodeableConcept": concept(ATC, "L01FF02")}
        if patient.chance(0.5):
            drug = {"medicationReference": {"reference": "Medication/pembrolizumab"}}
        patient.add(
            "MedicationAdministration", begin, status="completed", effectivePeriod={"start": str(begin)}, **drug
        )
    return -0.5 * float(str(row["operated"])) - 0.3 * float(str(row["immunotherapy"]))


def _imaged(patient: Patient, zero: date, row: dict[str, object]) -> list[str]:
    """Lines of the table of body composition."""
    names = ("muscle_area_cm2", "visceral_fat_ml", "subcutaneous_fat_ml")
    row |= dict.fromkeys(names)
    if patient.chance(0.15):
        return []
    muscle, visceral, subcutaneous = (
        round(float(patient.rng.normal(*of)), 1) for of in ((130, 25), (3500, 1200), (6000, 1800))
    )
    row |= dict(zip(names, (muscle, abs(visceral), abs(subcutaneous)), strict=True))
    day, later = zero - timedelta(days=8), zero + timedelta(days=300)
    cells = f"{muscle};{abs(visceral)};{abs(subcutaneous)}"
    return [f"{patient.id};{day};{cells}", f"{patient.id};{later};99.9;999.9;999.9"]


def _ended(patient: Patient, zero: date, log_hazard: float, row: dict[str, object], *, undated: bool) -> str:
    rng = patient.rng
    centred = log_hazard - 0.9
    death = zero + timedelta(days=100 + int(900 * rng.exponential(np.exp(-centred))))
    contact = zero + timedelta(days=int(rng.integers(120, 1800)))
    dies = death <= contact
    last = death - timedelta(days=int(rng.integers(1, 20))) if dies else contact
    verlauf = concept(SNOMED, "396432002")
    status = patient.add("Observation", last, status="final", code=verlauf, effectiveDateTime=str(last))
    status["valueCodeableConcept"] = concept(SNOMED, "268910001" if not dies else "271299001")
    own = next(each for each in patient.resources if each["resourceType"] == "Patient")
    own |= {"id": patient.id, "gender": "female" if row["female"] else "male"}
    own["managingOrganization"] = {"reference": f"Organization/{row['hospital']}", "display": row["hospital"]}
    del own["subject"]
    if dies and undated:
        own["deceasedBoolean"] = True
        return "undated"
    told = rng.random()
    if dies and told < 0.6:
        own["deceasedDateTime"] = str(death)
    elif dies:  # as the oBDS tells it
        code, cause = concept(SNOMED, "184305005"), concept(ICD_10, "C34.9")
        told_by = patient.add("Observation", death, status="final", code=code, effectiveDateTime=str(death))
        told_by["valueCodeableConcept"] = cause
    elif told < 0.5:
        own["deceasedBoolean"] = False
    end = death if dies else patient.seen
    row["survival_months"] = (end - zero).days / 30.4375
    row["death_observed"] = float(dies)
    return "dated" if dies else "alive"


# --- files


def _bundles(patients: list[Patient]) -> dict[str, bytes]:
    """Transactions whose references are addresses within the bundle, and answers of a server with its own."""
    files = {}
    for begin in range(0, len(patients), PER_BUNDLE):
        number = begin // PER_BUNDLE
        resources = [each for patient in patients[begin : begin + PER_BUNDLE] for each in patient.resources]
        resources.append({"resourceType": "Medication", "id": "pembrolizumab", "code": concept(ATC, "L01FF02")})
        own = number % 2 == 0
        entries = []
        for resource in resources:
            name = f"{resource['resourceType']}/{resource['id']}"
            entry: Resource = {"fullUrl": _address(name) if own else SERVER + name, "resource": resource}
            text = json.dumps(entry, ensure_ascii=False)
            if own:
                for patient in patients[begin : begin + PER_BUNDLE]:
                    name = f"Patient/{patient.id}"
                    text = text.replace(f'"reference": "{name}"', f'"reference": "{_address(name)}"')
            elif number % 4 == 1:
                text = text.replace('"reference": "Patient/', f'"reference": "{SERVER}Patient/')
            entries.append(text)
        kind = "transaction" if own else "searchset"
        bundle = f'{{"resourceType": "Bundle", "type": "{kind}", "entry": [\n' + ",\n".join(entries) + "\n]}\n"
        files[f"bundles/bundle-{number:02d}.json"] = bundle.encode()
    return files


def _address(name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, SERVER + name)}"


def _bulk_export(patients: list[Patient]) -> dict[str, bytes]:
    by_kind: dict[str, list[str]] = {}
    for patient in patients:
        for resource in patient.resources:
            by_kind.setdefault(resource["resourceType"], []).append(json.dumps(resource, ensure_ascii=False))
    medication = {"resourceType": "Medication", "id": "pembrolizumab", "code": concept(ATC, "L01FF02")}
    by_kind["Medication"] = [json.dumps(medication)]
    files = {}
    for kind, lines in by_kind.items():
        content = ("\n".join(lines) + "\n").encode()
        if kind == "Observation":
            files[f"ndjson/{kind}.ndjson.gz"] = gzip.compress(content, mtime=0)
        else:
            files[f"ndjson/{kind}.ndjson"] = content
    return files


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, content in hospital().files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
