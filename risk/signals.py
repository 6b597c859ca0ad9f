"""News for whoever watches, sent after commit, each with `sender` = the model class and the primary key as `pk`."""

from django.dispatch import Signal

kill_switch_changed = Signal()
