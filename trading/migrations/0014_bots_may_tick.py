import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('trading', '0013_commands_end_once'),
    ]

    operations = [
        migrations.AddField(
            model_name='bot',
            name='tick_seconds',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Seconds, 1 to 59, instead of a schedule: the ticker watches the bot. Empty: the schedule decides.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(59)], verbose_name='look every'),
        ),
        migrations.AddConstraint(
            model_name='bot',
            constraint=models.CheckConstraint(condition=models.Q(('tick_seconds', None), models.Q(('tick_seconds__gte', 1), ('tick_seconds__lte', 59)), _connector='OR'), name='bot_tick_seconds_in_range'),
        ),
        migrations.AddConstraint(
            model_name='bot',
            constraint=models.CheckConstraint(condition=models.Q(('tick_seconds', None), ('schedule', None), _connector='OR'), name='bot_ticks_or_follows_a_schedule'),
        ),
    ]
