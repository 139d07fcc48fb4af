"""syncd keeps Tuya meeting reservations in step with calendars."""

__version__ = "0.1.0"
