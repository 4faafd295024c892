"""klepto 0.2.8, `file_archive`.

"initialize a file with a synchronized dictionary interface"; "save the results to a file or database archive, close
the interpreter, start a new session, and reload". So a change is in the file when the call returns. Nothing is said
about the power.
"""

from pathlib import Path
from typing import Any

from klepto.archives import file_archive

from harness import KEY_VALUE, Contract, Delete, Put


class Adapter:
    name = "klepto"
    model = KEY_VALUE
    contract = Contract(power_loss=None, io_error=None, corruption=None)

    def open(self, directory: Path) -> Any:
        return file_archive(str(directory / "archive.pkl"), cached=False)

    def apply(self, store: Any, operation: object) -> None:
        match operation:
            case Put(key, value):
                store[key] = value
            case Delete(key):
                store.pop(key, None)

    def snapshot(self, store: Any) -> dict[str, str]:
        return dict(store.items())

    def close(self, store: Any) -> None:
        """There is nothing to close."""
