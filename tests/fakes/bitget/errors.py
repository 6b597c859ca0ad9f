"""Every error body that Bitget documents, by code, with the HTTP status it comes with."""

from tests.fakes.core.server import Answer

DOCUMENTED = {
    "22002": "No position to close",
    "40001": "ACCESS_KEY cannot be empty",
    "40002": "SECRET_KEY cannot be empty",
    "40003": "Signature cannot be empty",
    "40004": "Request timestamp expired",
    "40005": "Invalid ACCESS_TIMESTAMP",
    "40006": "Invalid ACCESS_KEY",
    "40007": "Invalid Content_Type",
    "40008": "Request timestamp expired",
    "40009": "sign signature error",
    "40010": "Request timed out",
    "40011": "ACCESS_PASSPHRASE cannot be empty",
    "40012": "apikey/password is incorrect",
    "40014": "Incorrect permissions",
    "40015": "System is abnormal, please try again later",
    "40017": "Parameter verification failed",
    "40018": "Invalid IP",
    "40019": "Parameter cannot be empty",
    "40020": "Parameter orderId error",
    "40034": "Parameter does not exist",
    "40037": "Apikey does not exist",
    "40085": "You are in Unified Account mode, and the Classic Account API is not supported",
    "40099": "exchange environment is incorrect",
    "40109": "The data of the order cannot be found, please confirm the order number",
    "40200": "Server upgrade, please try again later",
    "40305": "client_oid length is not greater than 40, and cannot be Martian characters",
    "40404": "Request URL NOT FOUND",
    "40725": "service return an error",
    "40762": "The order amount exceeds the balance",
    "40768": "Order does not exist",
    "40774": "The order type for unilateral position must also be the unilateral position type.",
    "40786": "Duplicate clientOid",
    "40808": "Parameter verification exception",
    "40917": "Stop price for long positions please < mark price",
    "41114": "The current trading pair is under maintenance, please refer to the official announcement",
    "43001": "The order does not exist",
    "43012": "Insufficient balance",
    "45001": "Unknown error",
    "45110": "less than the minimum amount 5 USDT",
    "45117": "Currently holding positions or orders, the margin mode cannot be adjusted",
    "45122": "Short position stop loss price please > mark price",
    "429": "Too Many Requests",
}
STATUS = {"429": 429, "40200": 503, "40404": 404, "40014": 403, "40018": 403}

REFUSALS = {  # the core's words in Bitget's
    "insufficient_funds": "40762",
    "under_minimum": "45110",
    "duplicate_client_id": "40786",
    "bad_lot": "40808",
    "bad_tick": "40808",
    "bad_price": "40808",
    "bad_amount": "40017",
    "unknown_market": "40034",
    "market_closed": "41114",
    "no_position": "22002",
}


class BitgetError(Exception):
    """A refusal in Bitget's words."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or DOCUMENTED.get(code, ""))
        self.code = code


def error_answer(code: str, message: str = "", *, now_ms: int) -> Answer:
    """The body as documented."""
    body = {"code": code, "msg": message or DOCUMENTED.get(code, ""), "requestTime": now_ms, "data": None}
    return Answer(status=STATUS.get(code, 400), body=body)
