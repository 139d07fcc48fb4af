"""Values and decisions: occurrences, reservations, the mapping between them and the plan.

Standard library only.
Nothing in here knows a clock, a log, a file, a socket or a thread; time enters as the argument `now`.
"""
