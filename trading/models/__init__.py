"""Everything the platform records about trading, one idea per module."""

from trading.models.accounts import AccountBalance, AccountFee, ExchangeAccount
from trading.models.alarms import PriceAlarm
from trading.models.analysts import Analyst, AnalystCall, CallPurpose, CallStatus, PromptTemplate
from trading.models.bots import ACTIVE, Bot, BotStatus
from trading.models.commands import Command, CommandKind, CommandState
from trading.models.config import BotConfig, ConfigVersion
from trading.models.credentials import Credential, KeyStatus
from trading.models.cycles import Cycle, CycleStatus, StageResult
from trading.models.decisions import Decision
from trading.models.leases import Lease
from trading.models.ledger import LedgerEntry
from trading.models.margins import MarginSetting
from trading.models.orders import CancelCommand, Order, OrderEvent, OrderInquiry, OrderSend, SendResult
from trading.models.parity import ParityRun, ParityVerdict
from trading.models.positions import Position
from trading.models.rates import KrwRate
from trading.models.reconcile import BreakKind, ExternalOrder, ReconcileBreak, ReconcileRun, Stream, Watermark
from trading.models.simulated import SimulatedMarket
from trading.models.snapshots import PortfolioSnapshot
from trading.models.stops import KeptBy, ProtectiveStop, StopState
from trading.models.ticks import TickCount
from trading.models.trades import Trade
from trading.models.venue_store import VenueAccount, VenueFill, VenueOrder

__all__ = [
    "ACTIVE",
    "AccountBalance",
    "AccountFee",
    "Analyst",
    "AnalystCall",
    "Bot",
    "BotConfig",
    "BotStatus",
    "BreakKind",
    "CallPurpose",
    "CallStatus",
    "CancelCommand",
    "Command",
    "CommandKind",
    "CommandState",
    "ConfigVersion",
    "Credential",
    "Cycle",
    "CycleStatus",
    "Decision",
    "ExchangeAccount",
    "ExternalOrder",
    "KeptBy",
    "KeyStatus",
    "KrwRate",
    "Lease",
    "LedgerEntry",
    "MarginSetting",
    "Order",
    "OrderEvent",
    "OrderInquiry",
    "OrderSend",
    "ParityRun",
    "ParityVerdict",
    "PortfolioSnapshot",
    "Position",
    "PriceAlarm",
    "PromptTemplate",
    "ProtectiveStop",
    "ReconcileBreak",
    "ReconcileRun",
    "SendResult",
    "SimulatedMarket",
    "StageResult",
    "StopState",
    "Stream",
    "TickCount",
    "Trade",
    "VenueAccount",
    "VenueFill",
    "VenueOrder",
    "Watermark",
]
