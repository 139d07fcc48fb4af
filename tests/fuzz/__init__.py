"""Damages what comes from outside at random and checks what no damage may ever do.

`python -m tests.fuzz` damages calendars: the reader never raises, hangs or eats memory, whatever the bytes.
A booking is cancelled or changed only if bytes of its own event were damaged: a neighbour pays for nothing.
A document that breaks off cancels nothing at all.

`python -m tests.fuzz api` damages what the API answers: no cycle raises, damage to one reservation keeps no
other from being done, nothing of others is touched, and when the API answers well again each meeting has its
one reservation.
"""
