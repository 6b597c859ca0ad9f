"""The three risk profiles everybody may use. Added if missing, never overwritten."""

from decimal import Decimal

from risk.models import RiskProfile

# Largest position, stop, target, daily and weekly loss as fractions: requirements §2.5.
PROFILES = {
    "conservative": ("0.20", "0.03", "0.06", "0.05", "0.10"),
    "medium": ("0.30", "0.05", "0.10", "0.10", "0.15"),
    "aggressive": ("0.50", "0.07", "0.15", "0.15", "0.25"),
}
# What else a profile asks beside the defaults: rules of the validator that need nothing but the bot's own candles.
ALSO = {"conservative": {"divergence_limit": Decimal(5)}}


def create_profiles() -> str | None:
    """The profiles that are missing."""
    names = ("position_fraction", "stop_fraction", "target_fraction", "daily_loss_fraction", "weekly_loss_fraction")
    added = []
    for profile, numbers in PROFILES.items():
        values = {name: Decimal(number) for name, number in zip(names, numbers, strict=True)} | ALSO.get(profile, {})
        _row, is_new = RiskProfile.objects.get_or_create(name=profile, user=None, defaults=values)
        if is_new:
            added.append(profile)
    return f"Risk profiles added: {', '.join(added)}." if added else None
