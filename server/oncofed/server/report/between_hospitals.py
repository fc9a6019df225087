"""How does a report tell that a model is better in one hospital than in another, and what the next may expect?"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from oncofed.picture.hospitals import hospitals_picture
from oncofed.survival.across_hospitals import FEWEST_EXPECTED, AcrossHospitals, Scale
from oncofed.words.language import ENGLISH, Language
from oncofed.words.numbers import decimals, whole


@dataclass(frozen=True)
class BetweenHospitals:
    """One figure as its row of the table, and its picture. Cells are words; an empty one is told as not known."""

    name: str
    hint: str
    mean: str
    limits: str
    differ: str
    next_one: str
    counted: int
    picture: Markup | None


def between_hospitals(
    *, ratio: AcrossHospitals, slope: AcrossHospitals, c_index: AcrossHospitals | None, say: Language = ENGLISH
) -> tuple[BetweenHospitals, ...]:
    """Those that are there, in the order in which they matter to a hospital that thinks of using the model."""
    told = [
        _told(
            ratio,
            say("Observed over expected events"),
            say("1 is right; above 1 the model is too hopeful"),
            right=1.0,
            say=say,
        ),
        _told(slope, say("Calibration slope"), say("1 is right; below 1 risks are too extreme"), right=1.0, say=say),
    ]
    if c_index is not None:
        told.append(
            _told(c_index, say("C-index"), say("0.5 is chance, 1 a perfect order"), right=None, digits=3, say=say)
        )
    return tuple(told)


def _told(
    found: AcrossHospitals, name: str, hint: str, *, right: float | None, say: Language, digits: int = 2
) -> BetweenHospitals:
    def limits(ends: tuple[float, float]) -> str:
        low, high = (decimals(each, digits, say=say) for each in ends)
        return "" if ends[0] != ends[0] else say("%(low)s to %(high)s", low=low, high=high)

    return BetweenHospitals(
        name=name,
        hint=hint,
        mean="" if found.effects is None else decimals(found.mean, digits, say=say),
        limits=limits(found.interval),
        differ="" if found.effects is None else _difference(found.effects.between_sd, found.scale, digits, say),
        next_one=limits(found.prediction),
        counted=found.counted,
        picture=hospitals_picture(found, name, right=right, digits=digits, say=say),
    )


def _difference(between_sd: float, scale: Scale, digits: int, say: Language) -> str:
    """In words of the figure: a standard deviation of logarithms is a factor."""
    match scale:
        case Scale.LOG:
            return say("a factor of %(factor)s", factor=decimals(Scale.LOG.back(between_sd), 2, say=say))
        case Scale.LOGIT:
            return say("%(value)s in its logit", value=decimals(between_sd, digits, say=say))
    return decimals(between_sd, digits, say=say)


def who_counts(say: Language = ENGLISH) -> str:
    """Which hospitals do."""
    return say(
        "Hospitals count of which at least %(fewest)s events were expected; the others have hollow dots.",
        fewest=whole(FEWEST_EXPECTED, say=say),
    )
