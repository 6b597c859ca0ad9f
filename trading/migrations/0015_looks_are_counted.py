import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [('trading', '0014_bots_may_tick')]

    operations = [
        migrations.CreateModel(
            name='TickCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hour', models.DateTimeField(editable=False, help_text='Machine time.', verbose_name='hour')),
                ('looks', models.PositiveIntegerField(default=0, editable=False, verbose_name='looks')),
                ('late', models.PositiveIntegerField(default=0, editable=False, verbose_name='late looks')),
                ('left_out', models.PositiveIntegerField(default=0, editable=False, help_text='The process was away or behind.', verbose_name='looks left out')),
                ('worst_lateness_ms', models.PositiveIntegerField(default=0, editable=False, help_text='Milliseconds.', verbose_name='worst lateness')),
            ],
            options={
                'verbose_name': 'tick count',
                'verbose_name_plural': 'tick counts',
                'db_table': 'tick_counts',
            },
        ),
        migrations.AddField(
            model_name='tickcount',
            name='bot',
            field=models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='tick_counts', to='trading.bot', verbose_name='bot'),
        ),
        migrations.AddConstraint(
            model_name='tickcount',
            constraint=models.UniqueConstraint(fields=('bot', 'hour'), name='tick_count_once_per_hour'),
        ),
    ]
