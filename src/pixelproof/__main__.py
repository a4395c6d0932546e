"""The command `pixelproof`, also as `python -m pixelproof`."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the command line; Ctrl-C before it is ready ends quietly."""
    signal.signal(signal.SIGINT, lambda _signal, _frame: os._exit(130))
    from pixelproof.cli import main as run

    run()


if __name__ == "__main__":
    main()
