"""The whole story of one event, for a person who asks why it is booked, or why not.

`answer_of` finds the event that is meant, or lists those that may be.
`story_of` reads everything as `plan` does and gathers what concerns one UID: where it stands, what its times
mean, what each occurrence becomes and why, what is booked, and every request and answer so far.
`tell` puts it into sentences.
It writes nothing, works beside a running daemon, and does without the API when that cannot be used.
Like `plan` it shows topics and people, because it answers a person; nothing of that goes into a log.
"""

from syncd.explain.answer import FoundMeetings, answer_of, print_listing
from syncd.explain.finder import Lookup
from syncd.explain.phrases import Line
from syncd.explain.sentences import ToldDate, ToldStory, tell, told_story
from syncd.explain.story import Story, recalled_story, story_of

__all__ = [
    "FoundMeetings",
    "Line",
    "Lookup",
    "Story",
    "ToldDate",
    "ToldStory",
    "answer_of",
    "print_listing",
    "recalled_story",
    "story_of",
    "tell",
    "told_story",
]
