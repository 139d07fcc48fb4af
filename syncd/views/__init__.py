"""What people and programs see of a state: documents, tables, a progress bar; nothing is decided here."""
