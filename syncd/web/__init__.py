"""The page, its documents for programs, metrics, health and feeds, over HTTP; everything here only reads.

`server` listens on a thread of its own, `reader` answers on another one with a read-only handle on the ledger.
`app` is what each request passes: whose host was meant (`hosts`), who asks (`access`), which route
(`routes`), then `answers` with their ETag, and `headers` on everything.
Each page has one module, `…_page`, with two functions: its frozen value for the template, and its document
for programs.
Must not: write to the ledger or the API, decide anything, or be imported by a command that does not serve.
"""
