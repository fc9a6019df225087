"""How do templates say their texts in a language: `_("...")`, `ngettext` and `{% trans %}`, by the catalogs?"""

from __future__ import annotations

import jinja2

from oncofed.words.language import Language


def speaking(environment: jinja2.Environment, say: Language) -> jinja2.Environment:
    """The same environment. Line breaks inside of a text are spaces; `language` is there in every template."""
    environment.add_extension("jinja2.ext.i18n")
    environment.policies["ext.i18n.trimmed"] = True
    translated = say.translations
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension
        translated.gettext, translated.ngettext, newstyle=True, pgettext=translated.pgettext
    )
    environment.globals["language"] = say
    return environment
