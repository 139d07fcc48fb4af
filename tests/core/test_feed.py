"""The compressed body of a feed: what went in comes out, and what was spoiled does not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.feed import Body

MIB = 1 << 20
BODIES = {
    "nothing": b"",
    "one byte": b"x",
    "lines": b"".join(b"%d\r\n" % number for number in range(400_000)),
    "one block of zeros": bytes(MIB),
    "zeros": bytes(50 * MIB + 257),
    "chance": random.Random(1).randbytes(3 * MIB + 1),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_comes_out_in_blocks(name: str) -> None:
    """Whatever it is like, all of it comes out, twice, in blocks of at most 1 MiB."""
    body = Body.of(
        BODIES[name][start : start + 65_536]
        for start in range(0, len(BODIES[name]), 65_536)
    )
    for _ in range(2):
        blocks = list(body.blocks())
        assert b"".join(blocks) == BODIES[name]
        assert all(0 < len(block) <= MIB for block in blocks)


@given(st.lists(st.binary(max_size=20)), st.lists(st.binary(max_size=20)))
def test_equal_bytes_have_one_digest(one: list[bytes], other: list[bytes]) -> None:
    """How the bytes were cut into pieces does not matter; other bytes have another digest."""
    assert Body.of(one) == Body.of([b"".join(one)])
    assert (Body.of(one).digest == Body.of(other).digest) == (
        b"".join(one) == b"".join(other)
    )


@pytest.mark.parametrize("name", BODIES)
def test_what_was_cut_is_told(name: str) -> None:
    """Without its end a body is damaged, wherever it was cut."""
    body = Body.of([BODIES[name]])
    for length in (0, 1, len(body.packed) // 2, len(body.packed) - 1):
        with pytest.raises(ValueError, match=r"."):
            list(Body(body.digest, body.packed[:length]).blocks())


@pytest.mark.parametrize("name", BODIES)
def test_what_was_changed_is_told(name: str) -> None:
    """A changed byte in the checksum at the end is noticed."""
    body = Body.of([BODIES[name]])
    changed = body.packed[:-1] + bytes([body.packed[-1] ^ 1])
    with pytest.raises(ValueError, match=r"."):
        list(Body(body.digest, changed).blocks())
