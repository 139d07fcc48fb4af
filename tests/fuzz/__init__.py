"""Damages calendars at random and checks what no damage may ever do; run by `python -m tests.fuzz`.

The reader never raises, hangs or eats memory, whatever the bytes.
A booking is cancelled or changed only if bytes of its own event were damaged: a neighbour pays for nothing.
A document that breaks off cancels nothing at all.
"""
