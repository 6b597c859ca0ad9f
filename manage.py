#!/usr/bin/env python
"""`manage.py up` starts everything; every other command is Django's or a room's."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dgbot.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
