"""What a look costs at least: `httpx.Client` asking the same feeds, one after the other, over one connection.

`python -m tests.benchmarks.bare_client COUNT URL...` asks each feed as a whole once, and then COUNT times
whether it changed; prints the seconds of CPU for one of these.
"""

from __future__ import annotations

import sys
import time
from itertools import cycle, islice

import httpx

_TIMEOUT_S = 60.0


def seconds_a_request(count: int, urls: list[str]) -> float:
    """Return the CPU of one conditional request that finds nothing; raise `RuntimeError` if one finds more."""
    with httpx.Client(timeout=_TIMEOUT_S) as client:
        etags = {url: client.get(url).headers["ETag"] for url in urls}
        began = time.process_time()
        for url in islice(cycle(urls), count):
            answer = client.get(url, headers={"If-None-Match": etags[url]})
            if answer.status_code != httpx.codes.NOT_MODIFIED:
                raise RuntimeError(f"a feed answered {answer.status_code}")
        return (time.process_time() - began) / count


def main() -> None:
    """Measure what the arguments name."""
    count, *urls = sys.argv[1:]
    sys.stdout.write(f"{seconds_a_request(int(count), urls)}\n")


if __name__ == "__main__":
    main()
