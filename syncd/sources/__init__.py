"""Where calendars come from: files and feeds; bytes and validators, nothing of iCalendar.

A source that cannot be read says so and never looks like an empty one.
A new kind of source gives what `syncd.intake.ports.Fetched` asks for; `syncd.config.sources` has its keys,
and `syncd.assembly` chooses it.
"""
