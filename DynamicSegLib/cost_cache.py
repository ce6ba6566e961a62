"""Counted costs on disk: counting needs torch, whose import takes longer than many a case."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from DynamicSegLib.cost import Cost
from DynamicSegLib.files import keep_text
from DynamicSegLib.resources import cache_folder
from DynamicSegLib.version import __version__


def remembered(circumstances: Sequence[object], count: Callable[[], Cost]) -> Cost:
    """The cost kept for these circumstances (network, arguments, size), counted and kept where there is none yet."""
    words = repr([__version__, *circumstances])
    path = cache_folder() / "costs" / f"{hashlib.sha256(words.encode()).hexdigest()[:32]}.json"
    try:
        kept = Cost(**json.loads(path.read_text(encoding="utf-8")))
        if all(isinstance(number, int) for number in asdict(kept).values()) and kept.macs > 0:
            return kept
    except (OSError, ValueError, TypeError):
        pass
    cost = count()
    keep_text(path, json.dumps(asdict(cost)) + "\n")
    return cost
