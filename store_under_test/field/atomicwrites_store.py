"""atomicwrites 1.4.1, writing one JSON document.

"Atomic file writes." "On POSIX, `fsync` is invoked on the temporary file after it is written (to flush file content and
metadata), and on the parent directory after the file is moved (to flush filename)." An error is raised, and the
temporary file is removed ("Clean up all temporary resources").
"""

import json
from pathlib import Path
from typing import Any

from atomicwrites import atomic_write

from harness import DOCUMENT, Contract, Save


class Adapter:
    name = "atomicwrites"
    model = DOCUMENT
    contract = Contract(corruption=None)

    def open(self, directory: Path) -> Path:
        return directory / "document.json"

    def apply(self, store: Path, operation: object) -> None:
        match operation:
            case Save(document):
                with atomic_write(store, overwrite=True) as file:
                    json.dump(document, file)

    def snapshot(self, store: Path) -> Any:
        return json.loads(store.read_text()) if store.exists() else None

    def close(self, store: Path) -> None:
        """There is nothing to close."""
