"""The daemon seen from outside: a child process, its log, what it tells systemd, and what it books."""
