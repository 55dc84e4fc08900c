"""``python -m miniDLF``: the command ``minidlf``."""

import sys

from miniDLF.cli import main

if __name__ == "__main__":
    sys.exit(main())
