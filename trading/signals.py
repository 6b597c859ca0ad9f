"""News for whoever watches, sent after commit. Nothing that must happen hangs on these; only monitoring listens.

Each is sent with `sender` = the model class and the primary key as `pk`; receivers read the row themselves.
"""

from django.dispatch import Signal

bot_changed = Signal()  # status, wanted state or settings of a bot
cycle_finished = Signal()
decision_made = Signal()
order_changed = Signal()
order_needs_a_look = Signal()  # with `alarm`: one sentence saying what contradicts what we believed
trade_recorded = Signal()
position_changed = Signal()  # also `event`: opened, changed or closed
snapshot_taken = Signal()
account_needs_a_look = Signal()  # with `alarm`: one sentence saying why the account opens nothing
