"""Why a feed could not be read, before it is known for which of its sources that is said."""

from __future__ import annotations

from datetime import datetime

from syncd.errors import SourceMalformed, SourceUnavailable


class FeedFault(Exception):
    """The reason why a feed could not be read, as a sentence with the cure in it.

    `malformed`: what came is not a whole calendar, and a person has to look.
    `retry_at` is when the server asked to be tried again.
    `by_condition`: a server may answer so because it does not cope with a conditional request.
    """

    def __init__(
        self,
        sentence: str,
        *,
        malformed: bool = False,
        retry_at: datetime | None = None,
        by_condition: bool = False,
    ) -> None:
        self._sentence = sentence
        self._malformed = malformed
        self._retry_at = retry_at
        self.by_condition = by_condition
        super().__init__(sentence)

    def of(self, source: str) -> SourceUnavailable | SourceMalformed:
        """Return the same as the error of one source."""
        if self._malformed:
            return SourceMalformed(source, self._sentence)
        return SourceUnavailable(source, self._sentence, self._retry_at)
