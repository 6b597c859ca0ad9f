"""Operators of platforms that exist already may raise the kill switch, as those of new ones may."""

from django.db import migrations


def grant(apps, schema_editor):
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    found = Permission.objects.filter(content_type__app_label="risk", codename="add_killswitch").first()
    for group in Group.objects.filter(name="operator") if found else ():
        group.permissions.add(found)


class Migration(migrations.Migration):
    dependencies = [("risk", "0009_kill_switches_stay_latched"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
