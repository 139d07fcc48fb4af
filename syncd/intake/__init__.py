"""What the sources say, and which of their events need a look.

`Intake` answers two questions: what the sources say anew, and what they say of some UIDs.
Everything between the bytes of a source and a `Reading` is in here: digests of what was read before, the
texts that are kept, the worklist.
Nothing in here knows the API, or what is booked.
"""

from syncd.intake.diff import SourceDiff, diff_source
from syncd.intake.excerpt import SourceExcerpt, excerpt_of, extent
from syncd.intake.former import Former
from syncd.intake.intake import Intake, Prepare, program
from syncd.intake.overlay import Overlay
from syncd.intake.parsing import Bounded
from syncd.intake.ports import CalendarSource, Fetched, TrackedSeries
from syncd.intake.raw_events import unpacked
from syncd.intake.reading import Presences
from syncd.intake.scanner import Elsewhere
from syncd.intake.source_index import SourceIndex
from syncd.intake.span import span_of

__all__ = [
    "Bounded",
    "CalendarSource",
    "Elsewhere",
    "Fetched",
    "Former",
    "Intake",
    "Overlay",
    "Prepare",
    "Presences",
    "SourceDiff",
    "SourceExcerpt",
    "SourceIndex",
    "TrackedSeries",
    "diff_source",
    "excerpt_of",
    "extent",
    "program",
    "span_of",
    "unpacked",
]
