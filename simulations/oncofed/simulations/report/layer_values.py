"""How is it shown what each layer of data is worth, and who was compared?"""

from __future__ import annotations

import math

from markupsafe import Markup

from oncofed.picture.axes import to_limits
from oncofed.picture.drawing import BLUE, INK, REPORT_WIDTH, SKY, Stroke, report_picture
from oncofed.picture.rows import BELOW, Rows
from oncofed.simulations.results import LayersCompared
from oncofed.survival.layer_values import LayerValues
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import MODALITY_NAMES, plain_name
from oncofed.words.numbers import decimals, whole

_NAMES = {modality.value: name for modality, name in MODALITY_NAMES.items()}


def layer_values_picture(values: LayerValues, *, say: Language = ENGLISH) -> Markup:
    """One row a layer: a bar between its values alone and last, a dot at its share, and the share's interval."""
    names = [say(_NAMES.get(each.name, plain_name(each.name))) for each in values.layers]
    numbers = [0.0]
    for each in values.layers:
        numbers += [each.share.mean, each.alone.mean, each.last.mean]
        numbers += [limit for limit in (each.share.low, each.share.high) if math.isfinite(limit)]
    low, high = min(numbers), max(numbers)
    room = 0.06 * (high - low) or 1.0
    low, high = low - room, high + room
    frame = Rows(names, (low, high, to_limits(low, high, say=say)), say("nats a patient"), right=REPORT_WIDTH - 24)
    marks = list(frame.marks)
    for row, (name, each) in enumerate(zip(names, values.layers, strict=True)):
        marks += frame.bar(row, each.last.mean, each.alone.mean, SKY)
        if each.share.low < each.share.high:
            marks += frame.whisker(row, each.share.low, each.share.high, Stroke(INK, width=1.4))
        marks.append(frame.dot(row, each.share.mean, BLUE, said=f"{name}: {decimals(each.share.mean, say=say)}"))
    marks.append(frame.zero())
    alternative = (
        say("What each layer is worth, in nats a patient:")
        + " "
        + "; ".join(
            say(
                "%(name)s share %(share)s (%(low)s to %(high)s), alone %(alone)s, last %(last)s",
                name=name,
                share=decimals(each.share.mean, say=say),
                low=decimals(each.share.low, say=say),
                high=decimals(each.share.high, say=say),
                alone=decimals(each.alone.mean, say=say),
                last=decimals(each.last.mean, say=say),
            )
            for name, each in zip(names, values.layers, strict=True)
        )
    )
    return report_picture(height=frame.bottom + BELOW, marks=marks, alternative=alternative)


def selection_words(found: LayersCompared, *, unit: str, say: Language = ENGLISH) -> tuple[str, ...]:
    """Who was compared, and how they differ from the others."""
    compared, others = found.compared, found.others
    everybody = compared.patients + others.patients
    told = say.several(
        "Compared are %(compared)s of %(everybody)s patients who were set aside (%(count)s event), those of whom "
        "something of every layer is recorded.",
        "Compared are %(compared)s of %(everybody)s patients who were set aside (%(count)s events), those of whom "
        "something of every layer is recorded.",
        compared.events,
        compared=whole(compared.patients, say=say),
        everybody=whole(everybody, say=say),
    )
    if not others.patients:
        return (f"{told} {say('That is everybody.')}",)
    apart = math.exp(compared.log_hazard_ratio - others.log_hazard_ratio)
    differ = say(
        "They are selected, because data are measured by indication: among them the event came %(rate)s times in 100 "
        "%(unit)s of follow-up, among the others %(others)s times; by what is always known the model gives them "
        "%(apart)s times the hazard of the others. A value is a value among patients like them.",
        rate=decimals(compared.rate, 1, say=say),
        unit=say(unit, context="dative"),
        others=decimals(others.rate, 1, say=say),
        apart=decimals(apart, 2, say=say),
    )
    return (told, differ)
