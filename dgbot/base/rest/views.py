"""What every face of the API is made of. A face names what each of its actions needs; one that does not is refused.

`Face` answers single addresses; `Rows` lists and shows the rows a user may see. Writes go through a room's services, never around them.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions, serializers
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from dgbot.base.rest import idempotency
from dgbot.base.rest.authentication import CHALLENGE
from dgbot.base.rest.filters import refuse_unknown
from dgbot.base.rest.needs import Needs
from dgbot.base.rest.paging import KeysetPagination
from dgbot.base.rest.throttles import AddressThrottle

ID = r"[0-9]{1,19}"


class Closed:
    """A shape that refuses names which are none of its fields: a mistyped one would be left out in silence."""

    fields: Any

    def to_internal_value(self, data: Any) -> Any:
        """The values, typed."""
        if isinstance(data, dict):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                told = _("There is no such field; known are %(known)s.") % {"known": ", ".join(self.fields) or _("none")}
                raise exceptions.ValidationError({str(name)[:60]: [told] for name in unknown[:5]})
        return super().to_internal_value(data)  # type: ignore[misc]


class Input(Closed, serializers.Serializer[Any]):
    """What a write takes."""


class Reason(Input):
    """Why something is asked for; kept in the audit log."""

    reason = serializers.CharField(max_length=255, required=False, default="", allow_blank=True, help_text="Kept in the audit log.")


class NeededReason(Input):
    """Why something is asked for; kept in the audit log."""

    reason = serializers.CharField(max_length=255, help_text="Kept in the audit log.")


class Told(serializers.Serializer[Any]):
    """The answer in one sentence."""

    message = serializers.CharField(help_text="What was done, in the language asked for.")


class _House:
    """Common to all faces: needs, counting by address before anything is looked up, and answers that nobody may store."""

    needs: ClassVar[Mapping[str, Needs | None]] = {}
    outside: ClassVar[frozenset[str]] = frozenset()  # actions whose effect leaves the database
    hides: ClassVar[tuple[str, ...]] = ()  # fields of answers that are shown once
    http_method_names: Any = ["get", "post", "put", "patch", "delete", "head"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before the method runs."""
        by_address = AddressThrottle()
        if not by_address.allow_request(request, self):
            self.throttled(request, by_address.wait())  # type: ignore[attr-defined]
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        method = (request.method or "").lower()
        if method in idempotency.WRITES and request.user and request.user.is_authenticated and hasattr(self, method):
            leaves = self._doing(request) in self.outside
            # The REST framework looks its handler up on the instance, right after this.
            setattr(self, method, partial(idempotency.once, getattr(self, method), leaves_database=leaves, hides=self.hides))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """After the method ran."""
        if getattr(response, "exception", False):  # errors are JSON, also of a page or of a document in YAML
            request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        final = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        final.headers.setdefault("Cache-Control", "no-store")
        return final

    def get_authenticate_header(self, request: Request) -> str:
        """Makes every refused login a 401, also where nobody is asked for a token."""
        return CHALLENGE

    def needs_of(self, request: Request) -> Needs | None:
        """What this request needs. A method that the face does not have needs nothing: its answer is 405."""
        doing = self._doing(request)
        if doing is None:
            return Needs(None)
        if doing not in self.needs:
            raise LookupError(f"{type(self).__name__} names no need for {doing}")
        return self.needs[doing]

    def given(self, request: Request, shape: type[serializers.BaseSerializer[Any]], **options: Any) -> Any:
        """The body as `shape` reads it. Raises ValidationError."""
        read = shape(data=request.data, context={"request": request}, **options)
        read.is_valid(raise_exception=True)
        return read.validated_data

    def _doing(self, request: Request) -> str | None:
        method = (request.method or "").lower()
        if method not in self.http_method_names:
            return None
        if hasattr(self, "action_map"):
            action: str | None = getattr(self, "action", None)
            return action
        return ("get" if method == "head" else method) if hasattr(self, method) else None


class Face(_House, GenericAPIView):  # type: ignore[type-arg]
    """One address. `needs` by method: `{"get": reads("trading.view_bot")}`."""

    pagination_class = None
    filter_backends = ()

    def get_queryset(self) -> Any:
        """No rows of its own."""
        return None


class Deeds(_House, GenericViewSet):  # type: ignore[type-arg]
    """Several actions under one address, without rows of their own. `needs` by action."""

    pagination_class = None
    filter_backends = ()
    lookup_value_regex = ID


class Rows(_House, ListModelMixin, RetrieveModelMixin, GenericViewSet):  # type: ignore[type-arg]
    """A list and its single rows, as far as the user may see them; others' do not exist. `needs` by action.

    queryset: of the model; its `for_user` decides whose rows are seen; a model without it is shared by all who have the permission.
    orderings: the first rules. filterset_class: see `filters`. detail_class: the serializer of a single row, if that is another.
    """

    orderings: ClassVar[tuple[str, ...]] = ("-id", "id")
    detail_class: ClassVar[Any] = None
    lookup_value_regex = ID
    filter_backends = (DjangoFilterBackend,)
    filterset_class: Any = None
    pagination_class: Any = KeysetPagination

    def get_queryset(self) -> QuerySet[Any]:
        """The rows the user may see."""
        rows: Any = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows.none()  # type: ignore[no-any-return]
        return rows.for_user(self.request.user) if hasattr(rows, "for_user") else rows  # type: ignore[no-any-return]

    def get_object(self) -> Any:
        """The row of the address. Raises Http404 for one that is not there or not the user's."""
        return get_object_or_404(self.get_queryset(), **{self.lookup_field: self.kwargs[self.lookup_url_kwarg or self.lookup_field]})

    def get_serializer_class(self) -> Any:
        """Another for a single row, where there is one."""
        is_one = getattr(self, "action", "list") != "list"
        return self.detail_class if is_one and self.detail_class else super().get_serializer_class()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A page of rows."""
        refuse_unknown(request.query_params, known=self._parameters())
        return super().list(request, *args, **kwargs)

    def shown(self, row: Any, *, status: int = 200) -> Response:
        """A single row as the answer."""
        shape: Any = self.detail_class or self.serializer_class
        return Response(shape(row, context={"request": self.request}).data, status=status)

    def _parameters(self) -> set[str]:
        own = set(self.filterset_class.base_filters) if self.filterset_class else set()
        return own | (self.paginator.names() if self.paginator else set())  # type: ignore[attr-defined]
