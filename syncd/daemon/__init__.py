"""The daemon: its loop, its schedule, what wakes it, and systemd."""
