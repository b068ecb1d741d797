"""pytest plugin: keep the small files that tests of refimpl give to its readers.

``python -m pytest -p harvest tests/unit -n 0`` with ``tests/fuzz`` on the path and ``FUZZ_SEEDS``
naming a folder. Files of measured data must not come in: run it without ``REFIMPL_DATA``.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from readers import READERS, Reader

MOST_BYTES = {"text": 6000, "json": 6000}
MOST_BYTES_OF_OTHERS = 40000


def _keep(reader: Reader, given: Any) -> None:
    try:
        data = given if isinstance(given, bytes) else (
            given.encode() if reader.takes == "text" else Path(given).read_bytes()
        )  # fmt: skip
    except (OSError, TypeError, AttributeError, UnicodeEncodeError):
        return
    if len(data) <= MOST_BYTES.get(reader.kind, MOST_BYTES_OF_OTHERS):
        folder = Path(os.environ["FUZZ_SEEDS"]) / reader.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)


def pytest_configure() -> None:
    """Put a wrapper in the place of every reader, wherever it was imported to."""
    readers: dict[str, list[Reader]] = {}
    for reader in READERS.values():
        if reader.target:
            readers.setdefault(reader.target, []).append(reader)
    for target, of in readers.items():
        module, name = target.split(":")
        original = getattr(importlib.import_module(f"refimpl.{module}"), name)

        @functools.wraps(original)
        def wrapper(
            *args: Any, _original: Any = original, _of: list[Reader] = of, **more: Any
        ) -> Any:
            for reader in _of:
                if args:
                    _keep(reader, args[0])
            return _original(*args, **more)

        for place in [m for n, m in sys.modules.items() if n.startswith("refimpl")]:
            for key, value in list(vars(place).items()):
                if value is original:
                    setattr(place, key, wrapper)
