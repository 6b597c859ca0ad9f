"""What error reports and debug pages may show. Django hides little while DEBUG is on; a typed-in key is hidden always."""

from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class HidingFilter(SafeExceptionReporterFilter):
    """Hides posted secrets, and every local variable of a request that carried one: forms and query dicts print what they hold."""

    def is_active(self, request: HttpRequest | None) -> bool:
        """With DEBUG, too."""
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> Any:
        """What was posted, secrets hidden."""
        posted = super().get_post_parameters(request)
        return {name: self.cleansed_substitute if self.hidden_settings.search(name) else value for name, value in posted.items()}

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        """The variables of one frame; none of their values when a secret was posted."""
        if self._carries_a_secret(request):
            return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]
        return super().get_traceback_frame_variables(request, tb_frame)

    def _carries_a_secret(self, request: HttpRequest | None) -> bool:
        posted = {} if request is None else request.POST
        return any(value and name != "csrfmiddlewaretoken" and self.hidden_settings.search(name) for name, value in posted.items())
