"""Are texts that look alike the same, and all others different?"""

from __future__ import annotations

import unicodedata

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from oncofed.cohort.letters import plain, plain_cells

ALIKE = st.text(alphabet="aoÖö\u0308\u200b\ufeff\u00ad\u00a0\u2009 \u202eе", max_size=6)


@given(st.lists(ALIKE | st.text(max_size=4)))
def test_cells_and_names_are_read_alike(texts: list[str]) -> None:
    encodable = [text for text in texts if not any(unicodedata.category(letter) == "Cs" for letter in text)]
    found = plain_cells(pa.array(encodable, type=pa.string())).to_pylist()
    for text, cell in zip(encodable, found, strict=True):
        assert cell.strip() == plain(text).strip()
        assert plain(cell) == cell


def test_what_cannot_be_seen_is_nothing() -> None:
    for text in ("Ko\u0308ln", "\ufeffKöln", "Kö\u200bln", "Kö\u00adln"):
        assert plain(text) == "Köln"
        assert plain_cells(pa.array([f"\u00a0{text} ", None])).to_pylist() == ["Köln", None]
    assert plain("Stage\u00a0II") == "Stage II"
    assert plain("koln") != plain("köln") != plain("KÖLN")
