"""Which one sheet of paper does a tumour board get of a patient?

What stands first on the patient's page, and nothing else: the answer, the curve, the few reasons that say most, how
much is known; and of what stands further down there the sentences without which these would be misread. It is printed
by the browser, on one sheet of A4; the page itself is printed as before. A view of it is an entry of the audit log.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Response

from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.patient_pages import Clinician, content_of, opened_row, viewed
from oncofed.client.pages.patient_view import PatientView
from oncofed.client.pages.recalibration import Fitted
from oncofed.client.pages.rendering import page
from oncofed.client.pages.similar import NobodySimilar
from oncofed.client.pages.viewing_record import SHEET
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.names import capital
from oncofed.words.numbers import hazard_ratio, whole

router = APIRouter()

_MOST_MISSING = 3
_ALWAYS = (
    later("When the event comes for this patient nobody can tell: every figure is of many such patients."),
    later(
        "A reason is what the model does with a value. It is no cause, and changing it need not change the prognosis."
    ),
)
_NOISE = later("The model was trained with privacy noise: read the first few reasons, and not their order.")
_TREATMENTS = later("What the model makes of treatments says who is given them, not what they do.")
_RELEASED = later("The curve is the study's model as released.")


@router.get("/patients/{word}/sheet")
def sheet(visit: Clinician, word: str, endpoint: str = "0", since: str = "0") -> Response:
    """One patient on one sheet. Arguments as of the patient's page."""
    hospital, row = visit.desk.hospital, opened_row(visit, word)
    view = viewed(visit, row, SHEET, endpoint=endpoint, since=since)
    shown = {
        "sheet": True,
        "cautions": tuple(cautions(hospital, view, say=visit.say)),
        "could_move": could_move(view, say=visit.say),
    }
    return page("sheet.html.j2", visit, content_of(hospital, view, row, word, visit.say) | shown)


def cautions(hospital: HospitalPrognosis, view: PatientView, *, say: Language = ENGLISH) -> Iterator[str]:
    """What a reader must know of this patient's figures, a sentence or two each."""
    yield from map(say, _ALWAYS)
    if hospital.noise_in_model:
        yield say(_NOISE)
    if any(each.is_treatment for each in view.reasons):
        yield say(_TREATMENTS)
    if view.competing is not None:
        yield say("What comes first rules out the rest.")
    fit = view.endpoint.recalibration
    if fit is None:
        yield say(_RELEASED)
    else:
        yield say(
            "The curve is adjusted to about %(events)s events of this hospital. The band says how exactly that is "
            "known, and not whether the model ranks this very patient rightly.",
            events=whole(Fitted.of(fit, hospital.disclosure).events, say=say),
        )
    if isinstance(view.comparison, NobodySimilar):
        yield f"{say('Nobody is compared.')} {view.comparison.why}"


def could_move(view: PatientView, *, say: Language = ENGLISH) -> tuple[str, ...]:
    """The few missing things that could move the hazard most, each with the factors between which."""
    return tuple(
        say(
            "%(name)s (%(low)s to %(high)s)",
            name=capital(each.name),
            low=hazard_ratio(each.change.low, say=say),
            high=hazard_ratio(each.change.high, say=say),
        )
        for each in view.missing
        if each.change is not None and each.moves
    )[:_MOST_MISSING]
