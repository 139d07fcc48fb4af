"""The ownership mark, by which our own reservations are known again among those of others."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache

from syncd.core.occurrence import OccurrenceKey

MARK_LENGTH = 20
_MARK = re.compile(r"sy:([0-9a-z]{4})-([0-9a-z]{10})")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no letter that looks like a digit


def _short_hash(text: str, length: int) -> str:
    """Return the last bits of a hash, five in each character, the lowest first."""
    data = text.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(data).digest()
    number = int.from_bytes(digest, "big")
    characters: list[str] = []
    for _ in range(length):
        characters.append(_ALPHABET[number & 31])
        number >>= 5
    return "".join(characters)


@dataclass(frozen=True, slots=True)
class Mark:
    """The ownership mark of one reservation, at the end of its description: `[sy:iiii-kkkkkkkkkk]`.

    `instance` tells whose it is, `token` which reservation of an occurrence.
    Read back without its brackets too, so that an edit around it does not lose it.
    """

    instance: str
    token: str

    def __str__(self) -> str:
        return f"[sy:{self.instance}-{self.token}]"

    @classmethod
    def of(cls, instance: str, key: OccurrenceKey, generation: int) -> Mark:
        """Return the mark of the `generation`th reservation made for an occurrence.

        The room is left out on purpose: a reservation keeps its mark when its meeting changes rooms.
        """
        parts = [instance, key.scope, key.uid, key.recurrence_id, generation]
        token = _short_hash(json.dumps(parts), 10)
        return cls(cls.instance_code(instance), token)

    @staticmethod
    @cache
    def instance_code(instance: str) -> str:
        """Return the four characters that stand for `reservation.instance` in a mark."""
        return _short_hash("instance:" + instance, 4)

    @classmethod
    def find(cls, description: str) -> Mark | None:
        """Return the last mark in a text, whoever made it; None if there is none."""
        found = _MARK.findall(description)
        if not found:
            return None
        instance, token = found[-1]
        return cls(instance, token)

    @staticmethod
    def strip(description: str) -> str:
        """Return a description without marks."""
        return re.sub(r"\n?\[?" + _MARK.pattern + r"\]?", "", description)

    def append_to(self, description: str) -> str:
        """Return a description with the mark at its end, as it is sent."""
        if not description:
            return str(self)
        return f"{description}\n{self}"
