"""Is everything that does not depend on the patient there before the first visitor, and told while it is computed?"""

from __future__ import annotations

import threading

import pytest
import torch
from tests.pages_hospital import hospital

from oncofed.client.guard.one_thread import one_thread
from oncofed.client.pages import cohort_pages, usual_values
from oncofed.client.pages import hospital as hospital_module
from oncofed.client.pages.cohort_pages import kept_interactions, kept_strongest
from oncofed.client.pages.patient_view import patient_view
from oncofed.client.pages.preparation import prepare


def test_after_it_nobody_waits_for_what_is_the_same_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, said = hospital(), list[str]()
    prepare(shown, say=said.append)
    assert [line.startswith("Explaining at least 380 patients: ") for line in said] == [True, True, False]

    def late(*_: object, **__: object) -> None:
        raise AssertionError("computed while somebody waits")

    monkeypatch.setattr(hospital_module, "recalibrate", late)
    monkeypatch.setattr(usual_values, "usual", late)
    monkeypatch.setattr(hospital_module, "parts_of", late)
    monkeypatch.setattr(cohort_pages, "strongest_interactions", late)
    monkeypatch.setattr(cohort_pages, "strongest_markers", late)
    for number in range(len(shown.endpoint_names)):
        for row in (0, 5):  # of a rare tumour, and of a frequent one
            assert patient_view(shown, row, endpoint=number).markers
        assert kept_interactions(shown, shown.endpoint(number), shown.everybody)
        assert kept_strongest(shown, shown.endpoint(number), shown.everybody)
    monkeypatch.undo()
    unprepared = hospital()
    monkeypatch.setattr(usual_values, "usual", late)
    with pytest.raises(AssertionError, match="while somebody waits"):
        patient_view(unprepared, 5, endpoint=0)


def test_torch_is_kept_to_the_calling_thread_and_set_back() -> None:
    seen = []

    def work() -> None:
        torch.set_num_threads(2)
        try:
            with one_thread():
                seen.append(torch.get_num_threads())
                raise InterruptedError
        except InterruptedError:
            pass
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [1, 2]
