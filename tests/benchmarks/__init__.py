"""What a cycle costs, measured by one command: `python -m tests.benchmarks`.

Makes calendars of its own, measures every case in a fresh process, and in the same run what a person would
otherwise run, so that the ratios hold on any machine.
"""
