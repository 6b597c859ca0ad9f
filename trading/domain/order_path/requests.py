"""What is sent for an order: fixed when it is planned, proven by its hash before every send."""

import hashlib
import json

from dgbot.core.money import plain
from dgbot.core.types import OrderRequest
from trading.domain.order_path.values import OrderFacts


def of_order(facts: OrderFacts) -> OrderRequest:
    """What is sent for this order. Raises ValueError when it no longer hashes to what was planned."""
    request = OrderRequest(
        client_id=facts.client_id,
        symbol=facts.symbol,
        side=facts.side,
        order_type=facts.order_type,
        amount=facts.amount,
        quote_amount=facts.quote_amount,
        price=facts.price,
        reduce_only=facts.reduce_only,
    )
    if hash_of(request) != facts.params_hash:
        raise ValueError(f"order {facts.pk} does not hash to what was planned; it is not sent")
    return request


def hash_of(request: OrderRequest) -> str:
    """SHA-256 over what is asked for, numbers as plain decimals."""
    content = [
        request.client_id,
        request.symbol,
        request.side,
        request.order_type,
        request.reduce_only,
        *(None if value is None else plain(value) for value in (request.amount, request.quote_amount, request.price)),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
