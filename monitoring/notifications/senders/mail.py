"""E-mail: text and HTML in one message, through the platform's mail server."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from monitoring.notifications.message import COLOURS, Message
from monitoring.notifications.senders import ChannelDead, MessageRefused, To, Unreachable

TIMEOUT_S = 10.0
TLS_PORT = 465
HERE = ("127.0.0.1", "localhost", "::1")
PERMANENT = 500


class Mail:
    """Messages to one mailbox."""

    def parts(self, message: Message) -> list[EmailMessage]:
        """One mail, whatever its length."""
        mail = EmailMessage()
        mail["Subject"] = " ".join(f"dgbot {message.head}".split())
        mail["From"] = settings.SMTP_FROM_ADDR or settings.SMTP_USER or "dgbot@localhost"
        mail["Date"] = formatdate(usegmt=True)
        mail.set_content("\n".join([message.head, "", *message.lines]) + "\n")
        html = render_to_string("monitoring/notification.html", {"message": message, "colour": COLOURS[message.level]})
        mail.add_alternative(html, subtype="html")
        return [mail]

    def send(self, part: EmailMessage, *, to: To) -> None:
        """One mail. Its Message-ID is the delivery's, so that mail programs show a repeat once."""
        if not settings.SMTP_HOST:
            raise ChannelDead(_("There is no mail server: set SMTP_HOST and SMTP_FROM_ADDR."))
        del part["To"], part["Message-ID"]
        part["To"] = to.address
        part["Message-ID"] = f"<delivery-{to.delivery}.{settings.DEPLOYMENT.lower()}@dgbot>"
        try:
            with _connect() as server:
                _protect(server)
                server.send_message(part)
        except smtplib.SMTPRecipientsRefused as error:
            code, words = next(iter(error.recipients.values()))
            raise _failure(code, words, permanent=ChannelDead) from error
        except smtplib.SMTPAuthenticationError as error:
            raise Unreachable(f"the mail server refused the login: {error.smtp_code}") from error
        except smtplib.SMTPResponseException as error:
            raise _failure(error.smtp_code, error.smtp_error, permanent=MessageRefused) from error
        except (smtplib.SMTPException, OSError) as error:
            raise Unreachable(f"the mail server did not take it: {type(error).__name__}") from error


def _connect() -> Any:
    if settings.SMTP_PORT == TLS_PORT:
        return smtplib.SMTP_SSL(settings.SMTP_HOST, settings.SMTP_PORT, timeout=TIMEOUT_S, context=ssl.create_default_context())
    return smtplib.SMTP(settings.SMTP_HOST, settings.SMTP_PORT, timeout=TIMEOUT_S)


def _protect(server: smtplib.SMTP) -> None:
    """TLS where the server offers it, then the login; a password never goes over the network in the clear."""
    server.ehlo()
    is_encrypted = isinstance(server, smtplib.SMTP_SSL)
    if not is_encrypted and server.has_extn("starttls"):
        server.starttls(context=ssl.create_default_context())
        server.ehlo()
        is_encrypted = True
    if not settings.SMTP_USER:
        return
    if not is_encrypted and settings.SMTP_HOST not in HERE:
        raise Unreachable("the mail server offers no encryption, so the password was not sent")
    server.login(settings.SMTP_USER, settings.SMTP_PASSWORD)


def _failure(code: int, words: bytes | str, *, permanent: type[Exception]) -> Exception:
    told = words.decode(errors="replace") if isinstance(words, bytes) else words
    sentence = f"the mail server answered {code} {told[:200]}"
    return permanent(sentence) if code >= PERMANENT else Unreachable(sentence)
