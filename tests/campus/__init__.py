"""Several daemons on one ledger, with all that can come between them, the database and the API."""
