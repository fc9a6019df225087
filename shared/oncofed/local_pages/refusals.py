"""What does a page's route raise in place of a page?"""

from __future__ import annotations


class PageRefused(Exception):
    """Answered with a page that says so. It was written down before it was raised.

    words  in English, which a page tells in its language.
    """

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        self.words = words
        super().__init__(words)


class SignInNeeded(Exception):
    """Answered with the way to the sign-in page."""
