"""``python -m gemini_live`` is ``gemini-live``."""

import sys

from gemini_live.cli import main

sys.exit(main())
