"""Upbit's refusals: status and `error.name`. The texts are illustrative; nobody may branch on them."""

from tests.fakes.core.orders import Refused
from tests.fakes.core.server import Answer

MESSAGES = {
    "insufficient_funds_bid": "주문 가능한 금액(KRW)이 부족합니다.",
    "insufficient_funds_ask": "매도 가능 잔고가 부족합니다.",
    "under_min_total_bid": "최소 주문 금액에 미달합니다.",
    "under_min_total_ask": "최소 주문 금액에 미달합니다.",
    "invalid_price_bid": "주문가격 단위를 잘못 입력하셨습니다. 확인 후 시도해주세요.",
    "invalid_price_ask": "주문가격 단위를 잘못 입력하셨습니다. 확인 후 시도해주세요.",
    "invalid_parameter": "잘못된 파라미터",
    "validation_error": "잘못된 API 요청입니다.",
    "market_offline": "해당 마켓은 현재 거래할 수 없습니다.",
    "order_not_found": "주문을 찾지 못했습니다.",
}


class UpbitRefusal(Exception):
    """An answer of the exchange endpoints that is not a success."""

    def __init__(self, status: int, name: str | int, message: str = "") -> None:
        super().__init__(f"{status} {name}")
        self.status, self.name = status, name
        self.message = message or MESSAGES.get(str(name), f"{name}")

    @property
    def answer(self) -> Answer:
        """As it goes over the wire."""
        body = {"error": {"name": self.name, "message": self.message}}
        return Answer(status=self.status, body=body, content_type="application/json;charset=UTF-8")


def of(refused: Refused, *, word: str) -> UpbitRefusal:
    """Upbit's word for an engine's refusal. word: bid or ask."""
    named = {
        "insufficient_funds": (400, f"insufficient_funds_{word}"),
        "under_minimum": (400, f"under_min_total_{word}"),
        "over_maximum": (400, f"over_krw_funds_{word}"),
        "bad_tick": (400, f"invalid_price_{word}"),
        "bad_price": (400, f"invalid_price_{word}"),
        "bad_lot": (400, f"invalid_volume_{word}"),
        "bad_amount": (400, f"invalid_volume_{word}"),
        "duplicate_client_id": (400, "duplicated_identifier"),
        "unknown_market": (400, "notfoundmarket"),
        "market_closed": (403, "market_offline"),
        "too_large_for_book": (400, "volume_too_large"),
    }
    status, name = named[refused.code]
    return UpbitRefusal(status, name)
