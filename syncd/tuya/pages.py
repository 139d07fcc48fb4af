"""The pages of a list of the API, and whether they agree with each other.

A list is documented as `total`, `has_more` and `list`, by `page_no`; of a client it is not known how far
an API keeps to that, so each is held against the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from syncd.errors import Refused
from syncd.tuya.content import AnswerFields

if TYPE_CHECKING:
    from syncd.tuya.channel import Channel

MOST_PAGES = 1000
CHANGES_ITS_TOTAL = "The API's list changes its total from page to page."
_PAGE_SIZE = 50  # the largest that an example shows; no page states the maximum


def _name(item: object) -> str:
    """Return what tells an item from the others: its id, else its whole JSON text."""
    return AnswerFields(item).identifier("reservation_id", "id") or json.dumps(
        item, sort_keys=True
    )


class Pages:
    """The items of a list, page by page as they are asked for.

    When it is exhausted, `doubt` says in a sentence why the list may lack something, empty if it does not;
    `moved` tells whether its total became another number between two pages, as when somebody books
    meanwhile, so that it may lack something, too; `refusal` is the refusal that ended it, `too_many` whether
    it has more pages than `most`.
    """

    def __init__(
        self,
        channel: Channel,
        path: str,
        query: Mapping[str, str],
        most: int = MOST_PAGES,
    ) -> None:
        self._channel = channel
        self._path = path
        self._query = query
        self._most = most
        self._total: int | None = None
        self._count = 0
        self.doubt = ""
        self.refusal: Refused | None = None
        self.too_many = False
        self.moved = False

    def __iter__(self) -> Iterator[object]:
        seen: set[str] = set()
        for number in range(1, self._most + 1):
            page = self._page(number)
            if page is None:
                return
            items = page.items("list")
            self._count += len(items)
            names = [_name(item) for item in items]
            news = not seen.issuperset(names)
            seen.update(names)
            yield from items
            more = self._goes_on(page, number, news=news)
            if not more:
                return
            if (
                self._total is not None
                and self._total > self._most * self._count / number
            ):
                self.too_many = True
                break
        else:
            self.too_many = True
        self._suspect("The API's list does not end.")

    def _page(self, number: int) -> AnswerFields | None:
        asked = {**self._query, "page_no": str(number), "page_size": str(_PAGE_SIZE)}
        try:
            result = self._channel.read(self._path, asked)
        except Refused as refusal:
            self.refusal = refusal
            trace = f", trace id {refusal.tid}" if refusal.tid else ""
            self._suspect(f"The API refuses the list (code {refusal.code}{trace}).")
            return None
        page = AnswerFields(result)
        items = page.value("list")
        if items is None:
            if page.integer("total") != 0:
                self._suspect("The API's list has a page without items.")
        elif not isinstance(items, list):
            self._suspect("The API's list has a page that is none.")
        return page

    def _goes_on(self, page: AnswerFields, number: int, *, news: bool) -> bool:
        """Tell whether to ask for the page after page `number`, and set `doubt` if this one contradicts.

        `news`: this page shows an item that none before it did.
        """
        total = page.integer("total")
        if number > 1 and total != self._total:
            if total is None or self._total is None:
                self._suspect(CHANGES_ITS_TOTAL)
            else:
                self.moved = True
        self._total = total
        more = page.boolean("has_more")
        if more is None:
            return self._lacks_items(total, news=news)
        if more and not news:
            self._suspect("The API's list says that it goes on, and shows nothing new.")
            return False
        complete = total == self._count
        if total is not None and more == complete and not self.moved:
            said = "goes on" if more else "ends"
            self._suspect(
                f"The API's list {said} after {self._count} items and says that it has {total}."
            )
        return more

    def _lacks_items(self, total: int | None, *, news: bool) -> bool:
        """Tell by `total` alone whether to ask for another page, where a page has no `has_more`."""
        if total is None:
            return news
        if total == self._count:
            return False
        if not news and not self.moved:
            self._suspect(
                f"The API's list shows {self._count} items and says that it has {total}."
            )
        return news

    def _suspect(self, sentence: str) -> None:
        self.doubt = self.doubt or sentence
