"""Prints the JSON Schema of the configuration: `python -m syncd.config > config/syncd.schema.json`."""

import json
import sys

from syncd.config import json_schema

sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
