# SPDX-License-Identifier: Apache-2.0
"""What happens to processes that write checkpoints: killed, out of space, two at once. Run as a script.

One process imports torch and forks those that are killed, so that all of this takes seconds.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path

import torch
from interrupted import (
    crash_while_replacing_the_only_one,
    crash_while_writing_another,
    fill_disk,
    kill_at_random_moments,
)
from sharded import one_writes_and_two_read, two_fail_together, two_write_and_one_reads

SCENARIOS = (
    kill_at_random_moments,
    crash_while_writing_another,
    crash_while_replacing_the_only_one,
    fill_disk,
    two_write_and_one_reads,
    one_writes_and_two_read,
    two_fail_together,
)


def main(root: Path) -> None:
    torch.set_num_threads(1)
    found = {}
    for scenario in SCENARIOS:
        began = time.perf_counter()
        try:
            (root / scenario.__name__).mkdir()
            scenario(root / scenario.__name__)
            found[scenario.__name__] = ""
        except Exception:
            found[scenario.__name__] = traceback.format_exc()
        print(f"{scenario.__name__}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
