"""The audit log is only ever added to."""

from django.db import migrations

from dgbot.base.operations import append_only


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [append_only("audit_log")]
