"""`python -m dgbot.local` is `manage.py up`."""

import sys

from dgbot.local import commands

if __name__ == "__main__":
    sys.exit(commands.run(["manage.py", "up", *sys.argv[1:]]))
