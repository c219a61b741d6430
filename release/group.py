"""Which dependency group of pyproject.toml the tests are installed from, on the interpreter that runs this.

``python -m release.group`` prints it. No marker of a requirement tells Alpine or a missing global lock from the rest.
"""

import sys
import sysconfig


def chosen() -> str:
    """``test``, or what of it has wheels here."""
    if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        return "test-anywhere"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "test-free-threaded"
    return "test"


if __name__ == "__main__":
    sys.stdout.write(f"{chosen()}\n")
