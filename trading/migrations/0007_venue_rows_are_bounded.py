"""A pretended exchange keeps no absurd number either: bounds on every amount and price of its orders and fills."""

from decimal import Decimal

from django.db import migrations, models
from django.db.models import Q

LARGEST = Decimal(10) ** 20
LOWER = {"positive": ("gt", 0), "not_negative": ("gte", 0), "signed": ("gt", -LARGEST)}
BOUNDS = (
    ("venuefill", "venue_fill", "price", "positive"),
    ("venuefill", "venue_fill", "amount", "positive"),
    ("venuefill", "venue_fill", "fee", "signed"),
    ("venueorder", "venue_order", "amount", "positive"),
    ("venueorder", "venue_order", "quote_amount", "positive"),
    ("venueorder", "venue_order", "price", "positive"),
    ("venueorder", "venue_order", "filled_amount", "not_negative"),
)


def bound(model: str, prefix: str, name: str, kind: str) -> migrations.AddConstraint:
    lookup, limit = LOWER[kind]
    condition = Q(**{f"{name}__{lookup}": limit}) & Q(**{f"{name}__lt": LARGEST})
    return migrations.AddConstraint(model_name=model, constraint=models.CheckConstraint(condition=condition, name=f"{prefix}_{name}_{kind}"))


class Migration(migrations.Migration):
    dependencies = [("trading", "0006_order_sends_once")]

    operations = [bound(*row) for row in BOUNDS]
