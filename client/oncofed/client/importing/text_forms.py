"""How is the text of a source's file written, by what the mapping says and how the file is called?"""

from __future__ import annotations

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Separator
from oncofed.client.importing.moments import zone_of
from oncofed.cohort.text_form import TextForm

_BY_TABS = (".tsv", ".tab", ".txt")


def form_of(source: Source) -> TextForm:
    suffixes = [suffix.lower() for suffix in source.lies_at.suffixes if suffix.lower() != ".gz"]
    by_suffix = Separator.TAB if suffixes and suffixes[-1] in _BY_TABS else Separator.COMMA
    separator = (source.separator or by_suffix).letter
    stand_ins = frozenset(source.missing or ())
    return TextForm(separator, source.encoding, source.comment, zone=zone_of(source), stand_ins=stand_ins)
