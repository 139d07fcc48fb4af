"""Where calendars come from: files and feeds; bytes and validators, nothing of iCalendar.

A source that cannot be read says so and never looks like an empty one.
"""
