"""Who is told when something needs a person: what is worth telling, and how it gets there.

`findings` reads from the status what is wrong, `decisions` says what of it is told, `notice` puts it into words,
and `teller` calls them in order and leaves the notices in the ledger, in one transaction with how things stand.
From there `courier` delivers each to every channel, again and again until it is taken: `webhook`, `mail` and
`command`. `ping` and `last_word` keep nothing: the one says again and again that all goes well, the other that
the ledger itself cannot be used.
Promises: a kill at any instruction loses no notice and makes none twice; nobody who is slow or gone holds up
the work.
Must not: decide how things stand, or tell topics and people unless the configuration says so.
"""
