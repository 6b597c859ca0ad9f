"""The search box of the system log reads messages by their words. A partitioned table's index cannot be built concurrently."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0003_notifications")]

    operations = [
        migrations.AddIndex("systemlog", GinIndex(SearchVector("message", config="simple"), name="system_logs_message_words")),
    ]
