"""What people and programs see of a state: documents, tables, a progress bar; nothing is decided here.

They render `Status` and what the reconciler reports, and import what stands below them in the layers of
`pyproject.toml`: no part of the daemon, and nothing that assembles the program.
"""
