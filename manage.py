#!/usr/bin/env python
"""`manage.py up` starts everything; every other command is Django's or a room's."""

import os
import sys

from dgbot.local import commands

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dgbot.settings")
    sys.exit(commands.run(sys.argv))
