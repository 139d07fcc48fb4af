"""The sandbox over a real socket: what the API documents, what it leaves open, what can go wrong."""
