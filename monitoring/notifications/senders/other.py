"""Any other service that Apprise knows, by its address: KakaoTalk, LINE, Discord, Pushover, PagerDuty, SMS …

Only services with a host of their own are let in: an Apprise address with a free host, or one that runs on this machine, would reach
what lies behind our firewall. For an own server there is the signed webhook.
"""

from typing import Any

from django.utils.translation import gettext as _

from dgbot.core.errors import BadInput
from monitoring.notifications.kinds import Level
from monitoring.notifications.message import Message
from monitoring.notifications.senders import ChannelDead, To, Unreachable

SERVICES = (
    *("discord", "gchat", "webex", "wxteams", "flock", "ryver", "twist", "zulip", "guilded", "revolt", "groupme", "zoom"),
    *("kakao", "kakaotalk", "line", "wecombot", "feishu", "lark", "dingtalk", "viber", "threema", "whatsapp"),
    *("pover", "pbul", "pushy", "prowl", "spush", "simplepush", "pushed", "join", "ifttt", "chanify", "onesignal", "psafer", "psafers"),
    *("pagerduty", "opsgenie", "splunk", "victorops", "squadcast", "signl4", "ilert", "pagertree", "incidentio"),
    *("twilio", "vonage", "nexmo", "plivo", "sinch", "msgbird", "clicksend", "bulksms", "telnyx", "sns"),
    *("sendgrid", "brevo", "postmark", "resend", "mailersend"),
)
TYPES = {Level.INFO: "info", Level.WARNING: "warning", Level.ERROR: "failure", Level.CRITICAL: "failure"}


class Other:
    """Messages through Apprise."""

    def parts(self, message: Message) -> list[dict[str, str]]:
        """Title and body; Apprise cuts or splits them as the service demands."""
        return [{"title": message.head, "body": "\n".join(message.lines) or message.head, "type": TYPES[message.level]}]

    def send(self, part: dict[str, str], *, to: To) -> None:
        """One message. Apprise tells success or not; its log says why."""
        import apprise

        try:
            service = load(to.address)
        except BadInput as error:
            raise ChannelDead(str(error)) from error
        with apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as said:
            is_sent = service.notify(
                body=part["body"], title=part["title"], notify_type=part["type"], body_format=apprise.NotifyFormat.TEXT
            )
            why = said.getvalue().strip().splitlines()
        if not is_sent:
            raise Unreachable(f"{service.service_name}: {why[-1][:200] if why else 'it was not taken'}")


def load(address: str) -> Any:
    """The Apprise service of an address. Raises BadInput for one that is none, or may not be used; the address itself is never told."""
    import apprise

    scheme = address.partition("://")[0].lower()
    if scheme not in SERVICES:
        raise BadInput(
            _("%(scheme)s:// is not among the services notifications may go to: %(services)s. For an own server take a webhook.")
            % {"scheme": scheme[:20], "services": ", ".join(SERVICES)}
        )
    service = apprise.Apprise.instantiate(address, suppress_exceptions=True)
    if service is None:
        raise BadInput(_("The address of %(scheme)s is not complete; docs/notifications.md links to Apprise's list.") % {"scheme": scheme})
    service.socket_connect_timeout, service.socket_read_timeout = 3.05, 10.0
    return service
