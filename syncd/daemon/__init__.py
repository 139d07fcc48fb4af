"""The program that runs for years: its loop, when something is due, and what wakes it."""
