"""Does a catalog say what its file says, as another reader of such files reads it?"""

from __future__ import annotations

import io

import pytest
from babel.messages.pofile import read_po

from oncofed.errors import InvalidInput
from oncofed.words.catalog import Entry, read_catalog, translations
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.languages import catalog_text

HEAD = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"
"""
FILE = f"""{HEAD}
# a remark
#: page.html.j2:3
msgid "one \\"two\\"\\n"
msgstr ""
"eins \\"zwei\\" "
"drei\\\\"

msgctxt "dative"
msgid "years"
msgstr "Jahren"

msgid "years"
msgstr "Jahre"

msgid "%(count)s marker"
msgid_plural "%(count)s markers"
msgstr[0] "%(count)s Merkmal"
msgstr[1] "%(count)s Merkmale"

msgid "not yet"
msgstr ""
"""


def test_a_file_is_read_as_babel_reads_it() -> None:
    for written in (FILE, catalog_text("de")):
        other = read_po(io.BytesIO(written.encode()), locale="de")
        expected = {
            (each.context or "", (each.id,) if isinstance(each.id, str) else tuple(each.id)): each.string
            for each in other
            if each.id
        }
        found = {
            (each.context, (each.text, each.plural) if each.plural else (each.text,)): each.said
            if each.plural
            else each.said[0]
            for each in read_catalog(written, where="x.po")
            if each.text
        }
        assert found == expected
        assert len(found) > 3


def test_the_standard_library_says_what_the_file_does() -> None:
    say = Language("de", "Deutsch", ",", " ", translations=translations(read_catalog(FILE, where="x.po")))
    assert say('one "two"\n') == 'eins "zwei" drei\\'
    assert (say("years"), say("years", context="dative")) == ("Jahre", "Jahren")
    assert say.several("%(count)s marker", "%(count)s markers", 1) == "1 Merkmal"
    assert say.several("%(count)s marker", "%(count)s markers", 1200) == "1 200 Merkmale"
    assert say("not yet") == "not yet", "what is not translated stays English"
    assert say("") == "", "and is never the file's header"


def test_english_says_each_text_as_it_stands() -> None:
    assert ENGLISH("100 %") == "100 %"
    assert ENGLISH("%(a)s of 100 %%", a=3) == "3 of 100 %"
    assert ENGLISH("years", context="dative") == "years"
    assert ENGLISH.several("%(count)s marker", "%(count)s markers", 1200) == "1,200 markers"
    assert later("a text", "dative") == "a text"


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ('msgid "a"\n', "is not whole"),
        ('msgstr "a"\n', "is not whole"),
        ('msgid "a"\nmsgstr "b\n', "none of a catalog"),
        ('"a"\nmsgid "b"\nmsgstr "c"\n', "none of a catalog"),
        ('msgid "a" # b\nmsgstr "c"\n', "none of a catalog"),
        ('#, fuzzy\nmsgid "a"\nmsgstr "b"\n', "fuzzy"),
        ('msgid "years"\nmsgstr "x"\n', "twice"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_line(wrong: str, what: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_catalog(f"{FILE}\n{wrong}", where="x.po")
    (fault,) = refused.value.faults
    assert what in fault.what
    assert fault.where == f"x.po: the entry at line {len(FILE.splitlines()) + 2}"


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_catalog('msgid "a"\n\nmsgid "b"\n', where="x.po")
    assert len(refused.value.faults) == 2


def test_an_entry_is_found_in_its_context() -> None:
    assert Entry("years", ("Jahren",), context="dative").key == "dative\x04years"
